package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	ranges "dtpx/range"
)

// node is dtpx serve, running.
type node struct {
	*box
	cmd     *exec.Cmd
	out     output
	log     output // its stderr
	started time.Time
	exited  chan struct{}

	// What it printed.
	addr    string // of the proxy
	exports string // the lines to type
}

// greeted is the end of what serve prints first.
const greeted = "from its next try on.\n\n"

// serve starts dtpx on a free port, waits until it has said where, and sees to
// its end.
func (b *box) serve(args ...string) *node {
	b.t.Helper()
	n := b.start(append([]string{"serve", "-listen", "127.0.0.1:0"}, args...)...)
	n.greeting()
	return n
}

// start does not wait.
func (b *box) start(args ...string) *node {
	b.t.Helper()
	n := &node{box: b, exited: make(chan struct{}), started: time.Now()}
	n.cmd = b.command(context.Background(), binary, args...)
	n.cmd.Stdout, n.cmd.Stderr = &n.out, &n.log
	must(b.t, n.cmd.Start())
	go func() {
		defer close(n.exited)
		_ = n.cmd.Wait() // the state tells
	}()
	b.t.Cleanup(n.cleanup)
	return n
}

// greeting reads the greeting as a person does.
func (n *node) greeting() {
	n.t.Helper()
	eventually(n.t, "the greeting of dtpx", func() bool { return n.gone() || strings.Contains(n.out.String(), greeted) })
	text := n.out.String()
	if n.gone() {
		n.t.Fatalf("dtpx ended: %s%s", text, n.log.String())
	}
	_, rest, _ := strings.Cut(text, "listens on ")
	n.addr, _, _ = strings.Cut(rest, " ")
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "  export ") {
			n.exports += line
		}
	}
}

func (n *node) gone() bool {
	select {
	case <-n.exited:
		return true
	default:
		return false
	}
}

func (n *node) signal(s os.Signal) {
	n.t.Helper()
	must(n.t, n.cmd.Process.Signal(s))
}

// wait returns the exit status, -1 after a signal that killed it.
func (n *node) wait() int {
	n.t.Helper()
	select {
	case <-n.exited:
	case <-time.After(patience):
		n.t.Fatalf("dtpx does not end: %s", n.log.String())
	}
	return n.cmd.ProcessState.ExitCode()
}

// stop ends dtpx as systemd does and wants a clean end. One that hangs is made
// to say where.
func (n *node) stop() {
	n.t.Helper()
	n.signal(syscall.SIGTERM)
	hung := time.AfterFunc(patience/2, func() { n.cmd.Process.Signal(syscall.SIGQUIT) })
	defer hung.Stop()
	if code := n.wait(); code != 0 {
		n.t.Errorf("exit status %d after SIGTERM: %s", code, n.log.String())
	}
}

func (n *node) kill() {
	n.t.Helper()
	if err := n.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		n.t.Fatal(err)
	}
	n.wait()
}

func (n *node) cleanup() {
	if !n.gone() {
		n.stop()
	}
	noRace(n.t, n.log.String())
	if n.t.Failed() {
		n.t.Logf("dtpx said:\n%s%s", n.out.String(), n.log.String())
	}
}

// shell runs a script in which the lines that dtpx printed were typed before.
func (n *node) shell(script string, args ...string) result {
	n.t.Helper()
	return n.run("sh", append([]string{"-c", n.exports + script, "sh"}, args...)...)
}

// tester is who looks at dtpx's own pages: without proxy, and not for ever.
var tester = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}

// page reads one of dtpx's own pages.
func (n *node) page(path string) string {
	n.t.Helper()
	resp, err := tester.Get("http://" + n.addr + path)
	must(n.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(n.t, err)
	if resp.StatusCode != http.StatusOK {
		n.t.Fatalf("%s: %s %s", path, resp.Status, body)
	}
	return string(body)
}

// downloads is what /api/v1/downloads says.
func (n *node) downloads() (ds []ranges.Info) {
	n.t.Helper()
	must(n.t, json.Unmarshal([]byte(n.page("/api/v1/downloads")), &ds))
	return ds
}

// output collects what a process writes.
type output struct {
	mu   sync.Mutex
	text strings.Builder // guarded by mu
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func (o *output) has(s string) bool { return strings.Contains(o.String(), s) }
