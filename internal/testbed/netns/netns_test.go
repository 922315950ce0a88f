package netns

import (
	"context"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// must ends the test on an error, with the value of what worked.
func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestShapedCable(t *testing.T) {
	lab := ForTest(t)
	a := must[*Machine](t)(lab.Machine("a"))
	b := must[*Machine](t)(lab.Machine("b"))
	c := must[Cable](t)(lab.Connect(a, "10.1.0.1/24", b, "10.1.0.2/24"))
	if err := c.B.Shape(80e6); err != nil { // 10 MB/s
		t.Fatal(err)
	}
	const size = 2 << 20
	begin := time.Now()
	if n := transfer(t, a, b, c.B.Addr(), size); n != size {
		t.Fatalf("%d bytes", n)
	}
	if took := time.Since(begin); took < 180*time.Millisecond {
		t.Errorf("2 MiB at 10 MB/s took %v", took)
	}
	if n := must[int64](t)(c.B.Carried()); n < size || n > size*5/4 {
		t.Errorf("carried %d", n)
	}
}

// transfer sends size bytes from a listener in b to a dialler in a.
func transfer(t *testing.T, a, b *Machine, addr string, size int) int64 {
	t.Helper()
	ln, err := b.Listen("tcp", addr+":80")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		if c, err := ln.Accept(); err == nil {
			c.Write(make([]byte, size))
			c.Close()
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn, err := a.Dial(ctx, "tcp", addr+":80")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	n, _ := io.Copy(io.Discard, conn)
	return n
}

func TestSwitchAndCommands(t *testing.T) {
	lab := ForTest(t)
	a := must[*Machine](t)(lab.Machine("a"))
	b := must[*Machine](t)(lab.Machine("b"))
	ports, _, err := lab.Switch([]string{"10.2.0.1/24", "10.2.0.2/24"}, a, b)
	if err != nil {
		t.Fatal(err)
	}
	if n := transfer(t, a, b, ports[1].Addr(), 1000); n != 1000 {
		t.Errorf("%d bytes", n)
	}
	out, err := a.Command(t.Context(), "ip", "-o", "addr").Output()
	if err != nil || !strings.Contains(string(out), "10.2.0.1/24") {
		t.Errorf("%s %v", out, err)
	}
	if err := a.Run("false"); err == nil {
		t.Error("no error from false")
	}
	if _, err := b.Dial(t.Context(), "tcp", "192.0.2.1:80"); err == nil {
		t.Error("a lab reached the outside")
	}
}

func TestCloseRemovesEverything(t *testing.T) {
	lab := ForTest(t)
	prefix := lab.prefix
	if err := lab.Close(); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("ip", "netns", "list").Output()
	if err != nil || strings.Contains(string(out), prefix) {
		t.Errorf("%s %v", out, err)
	}
}
