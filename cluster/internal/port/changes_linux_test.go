package port

import (
	"os/exec"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dtpx/internal/testbed/need"
)

// TestChanges: in a network of its own nothing changes by itself, and each change
// of a link or an address is told, once; of one of IPv6 by a thread of the kernel.
func TestChanges(t *testing.T) {
	need.Root(t)
	need.Program(t, "ip")
	runtime.LockOSThread() // never unlocked: the thread ends with its network
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	c := newChanges()
	defer c.close()
	if c.any() {
		t.Error("told of something at once")
	}
	for _, args := range [][]string{
		{"link", "set", "lo", "up"},
		{"address", "add", "192.0.2.7/24", "dev", "lo"},
		{"address", "add", "2001:db8::7/64", "dev", "lo", "nodad"},
		{"address", "del", "192.0.2.7/24", "dev", "lo"},
		{"link", "set", "lo", "down"},
	} {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %v: %v %s", args, err, out)
		}
		told, deadline := c.any(), time.Now().Add(10*time.Second)
		for ; !told && time.Now().Before(deadline); told = c.any() {
			runtime.Gosched()
		}
		if !told {
			t.Errorf("not told of ip %v", args)
		}
		if c.any() {
			t.Errorf("told twice of ip %v", args)
		}
	}
}

// Where the kernel cannot be asked, it is looked each time.
func TestChangesUnknown(t *testing.T) {
	c := &changes{-1}
	for range 2 {
		if !c.any() {
			t.Error("believes that nothing changes")
		}
	}
	c.close()
}
