package wire

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"dtpx/internal/testbed/netns"
)

func join(t *testing.T, s Shape) *Wire {
	t.Helper()
	lab := netns.ForTest(t)
	a, err := lab.Machine("a")
	if err != nil {
		t.Fatal(err)
	}
	b, err := lab.Machine("b")
	if err != nil {
		t.Fatal(err)
	}
	w, err := Join(lab, a, "10.3.0.1/24", b, "10.3.0.2/24", s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

// connect dials from A to a listener in B.
func connect(t *testing.T, w *Wire) (client, server net.Conn, took time.Duration) {
	t.Helper()
	ln, err := w.B.M.Listen("tcp", w.B.Addr()+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	begin := time.Now()
	client, err = w.A.M.Dial(ctx, "tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	took = time.Since(begin)
	t.Cleanup(func() { client.Close() })
	if server, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return client, server, took
}

func send(t *testing.T, client, server net.Conn, size int64) time.Duration {
	t.Helper()
	begin := time.Now()
	go server.Write(make([]byte, size))
	client.SetReadDeadline(begin.Add(30 * time.Second))
	if n, err := io.CopyN(io.Discard, client, size); n != size {
		t.Fatal(n, err)
	}
	return time.Since(begin)
}

func TestDelayIsThere(t *testing.T) {
	for _, d := range []time.Duration{10, 100} {
		d *= time.Millisecond
		w := join(t, Shape{Delay: d})
		if _, _, rtt := connect(t, w); rtt < 2*d || rtt > 2*d+60*time.Millisecond {
			t.Errorf("delay %v each way: connected in %v", d, rtt)
		}
	}
}

func TestRateAndLoss(t *testing.T) {
	w := join(t, Shape{Delay: 5 * time.Millisecond, Rate: 80e6})
	client, server, _ := connect(t, w)
	if took := send(t, client, server, 2<<20); took < 195*time.Millisecond {
		t.Errorf("2 MiB at 10 MB/s took %v", took)
	}
	w.Set(Shape{Delay: 5 * time.Millisecond, Loss: 0.05})
	send(t, client, server, 1<<20)
	if _, ba := w.Stats(); ba.Lost == 0 || ba.Packets == 0 {
		t.Errorf("%+v", ba)
	}
}

func TestOffIsSilence(t *testing.T) {
	w := join(t, Shape{})
	client, server, _ := connect(t, w)
	w.Set(Shape{Off: true})
	go server.Write(make([]byte, 10))
	client.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := client.Read(make([]byte, 10)); err == nil {
		t.Fatalf("read %d bytes", n)
	}
	w.Set(Shape{})
	client.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.ReadFull(client, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
}

// The arithmetic alone, exactly.
func TestAdmit(t *testing.T) {
	l := newLane(nil, nil, 1)
	l.shape = Shape{Delay: 20 * time.Millisecond, Rate: 8000, Queue: time.Second} // 1000 bytes per second
	now := time.Unix(0, 0)
	for i, want := range []time.Duration{520, 1020, 1520, -1} { // arrival of the last bit
		at, ok := l.admit(500, now)
		if want < 0 {
			if ok || l.stats.Dropped != 1 {
				t.Errorf("packet %d: not dropped", i)
			}
			continue
		}
		if !ok || at.Sub(now) != want*time.Millisecond {
			t.Errorf("packet %d: %v %v, want %v ms", i, at.Sub(now), ok, int64(want))
		}
	}
}
