package hostel

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"dtpx/internal/testbed/netns"
	"dtpx/internal/testbed/wire"
)

// Room is one machine.
type Room struct {
	Env    []string // of its dtpx, beside what all have
	Name   string
	M      *netns.Machine
	WAN    netns.Cable // A is the internet's end: its shaping is the download rate
	LAN    netns.Port
	Switch netns.Port // the switch's side of LAN
	Home   string
	Config string // of the last Serve

	far    *wire.Wire // WAN, where it has a delay
	house  *House
	binary string
	cmd    *exec.Cmd
	gone   chan struct{}
	Log    *Output // what dtpx wrote, all runs
}

// Output collects what processes write. It is safe for concurrent use.
type Output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// Command prepares a program in the room, in a home of its own and under the
// room's host name.
func (r *Room) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	script := `hostname "$0" && exec "$@"`
	cmd := r.M.Command(ctx, "unshare", append([]string{"--uts", "sh", "-c", script, r.Name, name}, args...)...)
	cmd.Dir = r.Home
	cmd.Env = []string{"HOME=" + r.Home, "PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8", "GORACE=atexit_sleep_ms=0"}
	cmd.Env = append(cmd.Env, r.Env...)
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// Run runs a program to its end and returns what it printed.
func (r *Room) Run(ctx context.Context, name string, args ...string) (string, error) {
	var out, errs bytes.Buffer
	cmd := r.Command(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("%s in %s: %w: %s", name, r.Name, err, errs.String())
	}
	return out.String(), err
}

// Dtpx runs a command of dtpx.
func (r *Room) Dtpx(ctx context.Context, args ...string) (string, error) {
	return r.Run(ctx, r.binary, args...)
}

// Lend is the config of a room whose members may reach the origin: its
// addresses look public, so nothing has to be allowed.
const Lend = "cluster: {lend: {quota: 0}}\n"

// Serve starts dtpx with config, which needs not name the origin's CA, and
// returns when it answers.
func (r *Room) Serve(config string) error {
	r.Config = filepath.Join(r.Home, "proxy.yaml")
	if err := os.WriteFile(r.Config, []byte("upstream_ca: "+r.house.CA+"\n"+config), 0o600); err != nil {
		return err
	}
	return r.Start()
}

// Start starts dtpx as the last Serve did.
func (r *Room) Start() error {
	r.cmd = r.Command(context.Background(), r.binary, "serve", "-config", r.Config)
	r.cmd.Stdout, r.cmd.Stderr = r.Log, r.Log
	if err := r.cmd.Start(); err != nil {
		return err
	}
	gone, cmd := make(chan struct{}), r.cmd
	r.gone = gone
	go func() { defer close(gone); _ = cmd.Wait() }()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		resp, err := r.client(5 * time.Second).Get("http://127.0.0.1:3128/healthz")
		if err == nil {
			resp.Body.Close()
			return nil
		}
		select {
		case <-gone:
			return fmt.Errorf("dtpx in %s has ended: %s", r.Name, r.Log)
		default:
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("dtpx in %s does not answer: %w", r.Name, err)
		}
	}
}

// client asks from inside the room.
func (r *Room) client(patience time.Duration) *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: r.M.Dial, DisableKeepAlives: true}, Timeout: patience}
}

// Get reads one of the node's own documents. Safe for concurrent use.
func (r *Room) Get(path string, v any) error {
	resp, err := r.client(10 * time.Second).Get("http://127.0.0.1:3128" + path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if s, ok := v.(*string); ok {
		*s = string(b)
		return nil
	}
	return json.Unmarshal(b, v)
}

// PID of the running dtpx.
func (r *Room) PID() int { return r.cmd.Process.Pid }

// Signal sends one to the running dtpx.
func (r *Room) Signal(s os.Signal) error { return r.cmd.Process.Signal(s) }

// Running reports whether dtpx was started and has not ended.
func (r *Room) Running() bool {
	if r.cmd == nil {
		return false
	}
	select {
	case <-r.gone:
		return false
	default:
		return true
	}
}

// Kill ends dtpx as a power cut would, if it runs.
func (r *Room) Kill() {
	if r.Running() {
		_ = r.cmd.Process.Signal(syscall.SIGKILL)
		<-r.gone
	}
}

// Stop ends dtpx as systemd would.
func (r *Room) Stop() error {
	if !r.Running() {
		return nil
	}
	_ = r.Signal(syscall.SIGTERM)
	select {
	case <-r.gone:
	case <-time.After(90 * time.Second):
		r.Kill()
		return errors.New("dtpx does not end")
	}
	if code := r.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("dtpx in %s: exit status %d: %s", r.Name, code, r.Log)
	}
	return nil
}
