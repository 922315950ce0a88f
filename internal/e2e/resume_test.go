package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"dtpx/internal/testbed"
)

// A download that was broken off goes on where it was, whoever broke it off, and
// nothing that is on disk is fetched again.
func TestGetGoesOn(t *testing.T) {
	for _, c := range []struct {
		name   string
		signal os.Signal
		node   bool
	}{
		{"interrupt", os.Interrupt, false}, {"term", syscall.SIGTERM, false}, {"kill", os.Kill, false},
		{"interrupt with node", os.Interrupt, true}, {"kill with node", os.Kill, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := slowOrigin(t)
			b := newBox(t)
			config := b.config(o)
			args := []string{"-config", config}
			if c.node {
				b.serve("-config", config)
				args = nil
			}
			url := o.HTTPS + "/24MiB/file"
			have := b.breakOff(args, c.signal, o, url)
			b.dtpx(append(append([]string{"get", "-c"}, args...), url)...).ok(t)
			same(t, b.path("file"), o, url)
			for _, e := range o.Log().For("/file") {
				var from int64
				if _, err := fmt.Sscanf(e.Range, "bytes=%d-", &from); err != nil || from < have {
					t.Errorf("%d bytes were there, asked for %q", have, e.Range)
				}
			}
			if left := b.names("."); strings.Contains(left, ".part") {
				t.Errorf("left behind: %s", left)
			}
		})
	}
}

// breakOff ends a get in the middle and returns how much it has kept. The
// origin's log begins anew.
func (b *box) breakOff(args []string, s os.Signal, o *testbed.Origin, url string) int64 {
	t := b.t
	t.Helper()
	cmd := b.command(context.Background(), binary, append(append([]string{"get"}, args...), url)...)
	var log bytes.Buffer
	cmd.Stderr = &log
	must(t, cmd.Start())
	part := b.path(path.Base(url) + ".part")
	eventually(t, "a part of the file", func() bool { return sizeOf(part) > 2<<20 })
	must(t, cmd.Process.Signal(s))
	err := cmd.Wait()
	noRace(t, log.String())
	if s != os.Kill {
		if code := cmd.ProcessState.ExitCode(); code != 1 || lastLine(log.String()) != "dtpx: interrupted; what has come is kept, go on with -c" {
			t.Errorf("%v, exit status %d: %s", err, code, log.String())
		}
	}
	have := sizeOf(part)
	if whole := o.Content(url).Size; have == 0 || whole > 0 && have >= whole {
		t.Fatalf("kept %d bytes of %d: not broken off in the middle", have, whole)
	}
	eventually(t, "the end of all requests", func() bool {
		for _, e := range o.Log().Entries() {
			if e.Took == 0 {
				return false
			}
		}
		return true
	})
	o.Reset()
	return have
}

// versions is a file that may become another one.
type versions struct{ now atomic.Uint64 }

func (v *versions) content() testbed.Content {
	return testbed.Content{Seed: 100 + v.now.Load(), Size: 24 << 20}
}

func (v *versions) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := v.content()
	w.Header().Set("ETag", fmt.Sprintf(`"v%d"`, c.Seed))
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", time.Time{}, io.NewSectionReader(c, 0, c.Size))
}
