package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"dtpx/internal/testbed/need"
)

// A browser that trusts the CA downloads a file as a person does, with the CA in
// the user's NSS database, where Chromium on Linux looks.
func TestChromiumDownloads(t *testing.T) {
	need.Linux(t)
	need.Program(t, "chromium")
	need.Program(t, "certutil")
	t.Parallel()
	o := slowOrigin(t)
	b := newBox(t)
	n := b.serve("-config", b.config(o))
	n.shell(`mkdir -p .pki/nssdb && certutil -N --empty-password -d sql:.pki/nssdb &&
certutil -A -d sql:.pki/nssdb -t C,, -n dtpx -i "$1"`, n.state("ca.pem")).ok(t)
	c := n.browser()
	c.call("Browser.setDownloadBehavior", map[string]any{"behavior": "allow", "downloadPath": b.path("saved"), "eventsEnabled": true})
	url := o.HTTPS + "/" + size + "/browser.bin"
	c.call("Target.createTarget", map[string]any{"url": url})
	c.until("the download", func(m message) bool {
		if m.Params.State == "canceled" {
			t.Fatal("Chromium gave the download up")
		}
		return m.Method == "Browser.downloadProgress" && m.Params.State == "completed"
	})
	same(t, b.path("saved", "browser.bin"), o, url)
	accelerated(t, o, "browser.bin")
	if s := n.page("/api/v1/status"); strings.Contains(s, `"host":"127.0.0.1"`) || strings.Contains(s, `"host": "127.0.0.1"`) {
		t.Errorf("Chromium does not trust the CA: %s", s)
	}
}

// browser is headless Chromium, told what to do over a pair of pipes
// (--remote-debugging-pipe): messages in JSON, each ended by a zero byte.
type browser struct {
	t    testing.TB
	to   io.Writer
	from *bufio.Reader
	id   int
}

// message is an answer (ID) or an event (Method).
type message struct {
	ID     int
	Method string
	Error  *struct{ Message string }
	Params struct{ State string }
}

func (n *node) browser() *browser {
	t := n.t
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	toRead, toWrite, err := os.Pipe()
	must(t, err)
	fromRead, fromWrite, err := os.Pipe()
	must(t, err)
	cmd := n.command(ctx, "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
		"--user-data-dir="+n.path("profile"), "--remote-debugging-pipe", "--proxy-server=http://"+n.addr,
		"--proxy-bypass-list=<-loopback>") // or it goes to 127.0.0.1 directly
	var log output
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.Env = append(cmd.Env, "TMPDIR="+n.home)
	cmd.ExtraFiles = []*os.File{toRead, fromWrite} // 3 and 4, as Chromium wants them
	cmd.Cancel = func() error { return cmd.Process.Kill() }
	must(t, cmd.Start())
	must(t, errors.Join(toRead.Close(), fromWrite.Close()))
	t.Cleanup(func() {
		toWrite.Close() // ends Chromium
		end(cmd, cancel)
		fromRead.Close()
		if t.Failed() {
			t.Logf("chromium said: %s", log.String())
		}
	})
	return &browser{t: t, to: toWrite, from: bufio.NewReader(fromRead)}
}

// end waits a little, then kills.
func end(cmd *exec.Cmd, kill func()) {
	timer := time.AfterFunc(5*time.Second, kill)
	_ = cmd.Wait()
	timer.Stop()
	kill()
}

func (c *browser) call(method string, params any) {
	c.t.Helper()
	c.id++
	b, err := json.Marshal(map[string]any{"id": c.id, "method": method, "params": params})
	must(c.t, err)
	_, err = c.to.Write(append(b, 0))
	must(c.t, err)
	c.until(method, func(m message) bool {
		if m.ID == c.id && m.Error != nil {
			c.t.Fatal(method, m.Error.Message)
		}
		return m.ID == c.id
	})
}

// until reads messages; Chromium's end, at the latest when its time is up, ends it.
func (c *browser) until(what string, done func(message) bool) {
	c.t.Helper()
	for {
		b, err := c.from.ReadBytes(0)
		if err != nil {
			c.t.Fatal(fmt.Errorf("wait for %s: %w", what, err))
		}
		var m message
		must(c.t, json.Unmarshal(b[:len(b)-1], &m))
		if done(m) {
			return
		}
	}
}
