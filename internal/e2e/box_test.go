package e2e

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"dtpx/internal/testbed"
	"dtpx/internal/testbed/need"
)

// patience bounds every wait; nothing comes near it unless something is broken.
const patience = time.Minute

// box is a machine as a new user has it.
type box struct {
	t    testing.TB
	home string
	wrap []string // stands before every command: another user, another namespace
	more []string // environment
}

func newBox(t testing.TB) *box {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("needs signals")
	}
	home, err := os.MkdirTemp("", "dtpx-home-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(home) })
	must(t, os.Chmod(home, 0o755))
	return &box{t: t, home: home}
}

// newBoxFor is a box of somebody who is not root, whom file modes stop.
func newBoxFor(t testing.TB) *box {
	b := newBox(t)
	if os.Geteuid() == 0 {
		b.wrap = []string{need.Program(t, "setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups"}
		must(t, os.Chown(b.home, 65534, 65534))
	}
	return b
}

func (b *box) path(elem ...string) string {
	return filepath.Join(append([]string{b.home}, elem...)...)
}

// state is the path of a file in the default state directory, or that directory.
func (b *box) state(elem ...string) string {
	if runtime.GOOS == "darwin" {
		return filepath.Join(append([]string{b.home, "Library", "Application Support", "dtpx"}, elem...)...)
	}
	return filepath.Join(append([]string{b.home, ".local", "state", "dtpx"}, elem...)...)
}

func (b *box) write(name, text string) string {
	b.t.Helper()
	path := b.path(name)
	must(b.t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(b.t, os.WriteFile(path, []byte(text), 0o644))
	return path
}

// config writes a proxy.yaml that trusts the origin and has more lines.
func (b *box) config(o *testbed.Origin, lines ...string) string {
	b.t.Helper()
	ca := b.write("origin-ca.pem", string(o.CA.PEM))
	return b.write("proxy.yaml", strings.Join(append([]string{"upstream_ca: " + ca}, lines...), "\n")+"\n")
}

// command prepares a program with nothing of the tester's own settings.
func (b *box) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	all := append(append(b.wrap[:len(b.wrap):len(b.wrap)], name), args...)
	cmd := exec.CommandContext(ctx, all[0], all[1:]...)
	cmd.Dir = b.home
	cmd.Env = append([]string{"HOME=" + b.home, "PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_TERMINAL_PROMPT=0", "GORACE=atexit_sleep_ms=0", "PYENV_ROOT=" + pyenv()}, b.more...)
	cmd.WaitDelay = patience
	return cmd
}

// pyenv keeps a python3 that is pyenv's working in another home.
func pyenv() string {
	if root := os.Getenv("PYENV_ROOT"); root != "" {
		return root
	}
	home, _ := os.UserHomeDir()
	return filepath.Join(home, ".pyenv")
}

// result is how a program ended.
type result struct {
	out, err string
	code     int
}

func (b *box) run(name string, args ...string) result {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	return b.finish(b.command(ctx, name, args...))
}

func (b *box) finish(cmd *exec.Cmd) result {
	b.t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		b.t.Fatalf("%s: %v", cmd, err)
	}
	noRace(b.t, errs.String())
	return result{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

// dtpx runs a command of dtpx to its end.
func (b *box) dtpx(args ...string) result {
	b.t.Helper()
	return b.run(binary, args...)
}

// complains checks that there is one line on stderr, that it says want, and the
// exit status.
func (r result) complains(t testing.TB, code int, want ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit status %d, want %d", r.code, code)
	}
	if !strings.HasPrefix(r.err, "dtpx: ") || strings.Count(r.err, "\n") != 1 {
		t.Errorf("want one line on stderr, got %q", r.err)
	}
	for _, w := range want {
		if !strings.Contains(r.err, w) {
			t.Errorf("stderr lacks %q: %s", w, r.err)
		}
	}
}

func (r result) ok(t testing.TB) result {
	t.Helper()
	if r.code != 0 {
		t.Fatalf("exit status %d\n%s%s", r.code, r.out, r.err)
	}
	return r
}

func noRace(t testing.TB, stderr string) {
	t.Helper()
	if strings.Contains(stderr, "DATA RACE") || strings.Contains(stderr, "panic:") {
		t.Errorf("dtpx reports a race or a panic:\n%s", stderr)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually polls what has no way to tell us.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !done(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}
