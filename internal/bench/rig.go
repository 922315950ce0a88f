package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// bench holds the built binaries and a scratch directory.
type bench struct {
	dir    string
	rounds int
	n      int // of names that must be new
}

func newBench(rounds int) (*bench, error) {
	dir, err := os.MkdirTemp("", "dtpx-bench-")
	if err != nil {
		return nil, err
	}
	b := &bench{dir: dir, rounds: rounds}
	for name, pkg := range map[string]string{"dtpx": "./cmd/dtpx", "origin": "./internal/testbed/cmd/origin"} {
		cmd := exec.Command("go", "build", "-o", b.path(name), pkg)
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			return nil, fmt.Errorf("build %s: %w", pkg, err)
		}
	}
	return b, nil
}

func (b *bench) close() { os.RemoveAll(b.dir) }

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

// fresh is a path nobody has used: a new state, a new file.
func (b *bench) fresh(name string) string {
	b.n++
	return b.path(fmt.Sprintf("%s-%d", name, b.n))
}

// starter makes commands: on this machine, or in a namespace.
type starter func(ctx context.Context, name string, args ...string) *exec.Cmd

// process is a server that was started and answers.
type process struct {
	cmd *exec.Cmd
	out bytes.Buffer
}

func start(run starter, name string, args ...string) (*process, error) {
	p := &process{cmd: run(context.Background(), name, args...)}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	return p, p.cmd.Start()
}

func (p *process) stop() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

// origin is a running testbed origin.
type origin struct {
	*process
	http, https, ca, control string
	get                      func(url string) ([]byte, error)
}

func local(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, name, args...)
}

// ports are taken from a range that nothing else here uses.
func freePort() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	fail(err)
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

func (b *bench) origin(args ...string) (*origin, error) {
	h, s, c := "127.0.0.1:"+freePort(), "127.0.0.1:"+freePort(), "127.0.0.1:"+freePort()
	o := &origin{http: "http://" + h, https: "https://" + s, control: "http://" + c, ca: b.fresh("origin-ca")}
	args = append([]string{"-listen", h, "-tls-listen", s, "-control", c, "-ca", o.ca, "-no-h2"}, args...)
	var err error
	if o.process, err = start(local, b.path("origin"), args...); err != nil {
		return nil, err
	}
	o.get = fetch
	return o, waitFor(func() error { _, err := fetch(o.control + "/_stats"); return err })
}

func fetch(url string) ([]byte, error) {
	resp, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}

// entry is what the bench reads of the origin's log.
type entry struct {
	Method string `json:"method"`
	Status int    `json:"status"`
	Acked  int64  `json:"acked"`
}

// crossed is how many body bytes of 200 and 206 answers left the origin for
// good, and how many requests were refused.
func (o *origin) crossed() (bytes int64, refused int, err error) {
	data, err := o.get(o.control + "/_log")
	if err != nil {
		return 0, 0, err
	}
	for d := json.NewDecoder(strings.NewReader(string(data))); ; {
		var e entry
		if err := d.Decode(&e); err == io.EOF {
			return bytes, refused, nil
		} else if err != nil {
			return 0, 0, err
		}
		if e.Status/100 == 2 {
			bytes += max(0, e.Acked)
		} else {
			refused++
		}
	}
}

// reset forgets the log; only for origins on loopback.
func (o *origin) reset() error {
	resp, err := http.Post(o.control+"/_reset", "", nil)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// node is a running dtpx with a state of its own.
type node struct {
	*process
	addr, state string
}

func (b *bench) dtpx(run starter, addr, config string) (*node, error) {
	n := &node{addr: addr, state: b.fresh("state")}
	file := b.fresh("config")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	var err error
	if n.process, err = start(run, b.path("dtpx"), "serve", "-config", file, "-listen", addr, "-state", n.state); err != nil {
		return nil, err
	}
	return n, waitFor(func() error {
		if n.cmd.ProcessState != nil {
			return fmt.Errorf("dtpx has ended: %s", n.out.String())
		}
		return run(context.Background(), "curl", "-s", "-o", "/dev/null", "--noproxy", "*", "http://"+addr+"/healthz").Run()
	})
}

// waitFor asks until there is an answer; servers need a moment to start.
func waitFor(ready func() error) (err error) {
	for range 100 {
		if err = ready(); err == nil {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return err
}

// sample is what curl saw.
type sample struct{ first, total float64 } // seconds

// curl downloads url, checks its length and returns the times.
func (b *bench) curl(run starter, size int64, url string, args ...string) (sample, error) {
	const format = "%{time_starttransfer} %{time_total} %{size_download} %{http_code}"
	args = append([]string{"-s", "-o", "/dev/null", "-w", format, "--noproxy", ""}, args...)
	out, err := run(context.Background(), "curl", append(args, url)...).Output()
	if err != nil {
		return sample{}, fmt.Errorf("curl: %w", err)
	}
	var s sample
	var got int64
	var code int
	if _, err := fmt.Sscan(string(out), &s.first, &s.total, &got, &code); err != nil {
		return s, err
	}
	if got != size || code != 200 {
		return s, fmt.Errorf("curl got %d bytes of %d, status %d", got, size, code)
	}
	return s, nil
}

// aria downloads url with n connections and returns the seconds it took.
func (b *bench) aria(run starter, n int, url, ca string) (float64, error) {
	dir := b.fresh("aria")
	defer os.RemoveAll(dir)
	k := strconv.Itoa(n)
	began := time.Now()
	out, err := run(context.Background(), "aria2c", "-q", "-x"+k, "-s"+k, "-k1M", "--ca-certificate="+ca, "--file-allocation=none",
		"--no-conf", "-d", dir, url).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("aria2c: %w: %s", err, out)
	}
	return time.Since(began).Seconds(), nil
}
