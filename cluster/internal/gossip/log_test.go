package gossip

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// A network that stays broken is told of now and then, and at once when it breaks anew.
func TestLogOfBrokenNetwork(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(1e9, 0)
	l := newLogger(slog.New(slog.NewTextHandler(&out, nil)), func() time.Time { return now })
	broken := func(d time.Duration) int {
		out.Reset()
		for end := now.Add(d); now.Before(end); now = now.Add(time.Second) {
			l.Print("[WARN] memberlist: UDP probes failed")
		}
		return strings.Count(out.String(), "UDP probes failed")
	}
	if n := broken(9 * time.Second); n != 1 {
		t.Errorf("%d lines at first", n)
	}
	if n := broken(24 * time.Hour); n < 24 || n > 40 {
		t.Errorf("%d lines in a day", n)
	}
	now = now.Add(calmFor + time.Second)
	if n := broken(9 * time.Second); n != 1 {
		t.Errorf("%d lines when it breaks anew", n)
	}
}

// What a restart brings about by itself is no warning: that a member is gone and here
// again is said elsewhere, in words for people.
func TestLogOfRestartedMember(t *testing.T) {
	var out bytes.Buffer
	l := newLogger(slog.New(slog.NewTextHandler(&out, nil)), time.Now)
	l.Print("[WARN] memberlist: Got ping for unexpected node 'a.1' from=192.168.7.2:3129")
	l.Print("[WARN] memberlist: Refuting a suspect message (from: a.1)")
	l.Print("[ERR] memberlist: Failed fallback TCP ping: EOF")
	if out.Len() > 0 {
		t.Errorf("said: %s", &out)
	}
	l.Print("[WARN] memberlist: Was able to connect to a.1 over TCP but UDP probes failed, network may be misconfigured")
	if !strings.Contains(out.String(), "UDP probes failed") || !strings.Contains(out.String(), "unsaid=0") {
		t.Errorf("said: %s", &out)
	}
}
