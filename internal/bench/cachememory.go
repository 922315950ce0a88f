package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// cacheMemory: what an index costs, by a node that has filled a store and by one
// that opens it and has looked at every file.
func (b *bench) cacheMemory() ([]row, error) {
	o, err := b.origin()
	if err != nil {
		return nil, err
	}
	defer o.stop()
	const name, files, warmups = "cache memory, 4 GiB of 64 MiB", 64, 110
	n, err := b.dtpx(local, "127.0.0.1:"+freePort(), trusting(o))
	if err != nil {
		return nil, err
	}
	defer n.stop()
	s, err := newSide("dtpx", n.process, n.addr, "")
	if err != nil {
		return nil, err
	}
	var before int64
	var urls []string
	for i := range warmups + files {
		if i == warmups { // by now the list of ended downloads is as long as it will ever be
			if before, err = live(n.addr); err != nil {
				return nil, err
			}
		}
		size := 64
		if i < warmups {
			size = 8
		}
		u := o.http + cacheable(fmt.Sprintf("%dMiB", size), fmt.Sprintf("memory%d", i))
		if _, err := s.get(u, int64(size)*mib); err != nil {
			return nil, err
		}
		if i >= warmups {
			urls = append(urls, u)
		}
	}
	const cached = files * 64
	after, err := live(n.addr)
	if err != nil {
		return nil, err
	}
	held, err := diskUse(filepath.Join(n.state, "cache"))
	if err != nil {
		return nil, err
	}
	n.stop() // killed, as by a power cut
	killed, err := b.opened(n.state, nil)
	if err != nil {
		return nil, err
	}
	again, err := b.opened(n.state, urls)
	if err != nil {
		return nil, err
	}
	one, err := b.withOne(urls)
	if err != nil {
		return nil, err
	}
	index := float64(again.live-one.live) / (64 * float64(len(urls)-1))
	return []row{
		{name, "bytes per MiB, filled - before", float64(after-before) / cached, 200, true, fmt.Sprintf(
			"live heap %.1f, before %.1f MiB; %d MiB on disk", float64(after)/mib, float64(before)/mib, held>>20)},
		{name, "bytes per MiB, opened - 1 file", index, 200, true, fmt.Sprintf(
			"live heap %.1f MiB with all files looked at, with one file %.1f MiB", float64(again.live)/mib, float64(one.live)/mib)},
		{name, "opening, s", again.took, 1, true, fmt.Sprintf("start to answer; after kill -9 %.3f s, with one file %.3f s", killed.took, one.took)},
	}, nil
}

// withOne opens a store that holds but the first of urls, and looks at that as often
// as another does at all.
func (b *bench) withOne(urls []string) (opening, error) {
	n, err := b.dtpx(local, "127.0.0.1:"+freePort(), "")
	if err != nil {
		return opening{}, err
	}
	s, err := newSide("one", n.process, n.addr, "")
	if err == nil {
		_, err = s.get(urls[0], 64*mib)
	}
	n.stop()
	if err != nil {
		return opening{}, err
	}
	return b.opened(n.state, slices.Repeat(urls[:1], len(urls)))
}

// live is what the node's collector finds in use once that no longer falls: pools
// are emptied by the second collection, and each page asked for leaves a little
// garbage. Resident memory, garbage included, is known to some megabytes only, which
// is more than the index.
func live(addr string) (least int64, err error) {
	least = math.MaxInt64
	for quiet := 0; quiet < 5000; quiet++ {
		now, err := liveNow(addr)
		if err != nil {
			return 0, err
		}
		if now < least-64<<10 && now > 0 { // 0: there was no collection yet
			least, quiet = now, 0
		}
	}
	return least, nil
}

func liveNow(addr string) (bytes int64, err error) {
	resp, err := http.Get("http://" + addr + "/metrics")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	_, value, ok := strings.Cut(string(page), "\ndtpx_heap_live_bytes ")
	if _, err := fmt.Sscan(value, &bytes); !ok || err != nil {
		return 0, errors.New("no dtpx_heap_live_bytes in /metrics")
	}
	return bytes, nil
}

type opening struct {
	took float64 // seconds from the start to an answer
	live int64   // bytes in use after that
}

// opened starts dtpx on a state directory, asks for the last byte of each URL,
// measures and ends it in peace.
func (b *bench) opened(state string, urls []string) (opening, error) {
	addr, began := "127.0.0.1:"+freePort(), time.Now()
	p, err := start(local, b.path("dtpx"), "serve", "-listen", addr, "-state", state)
	if err != nil {
		return opening{}, err
	}
	defer p.stop()
	for {
		resp, err := http.Get("http://" + addr + "/healthz")
		if err == nil {
			resp.Body.Close()
			break
		}
		if time.Since(began) > 20*time.Second {
			return opening{}, fmt.Errorf("dtpx does not answer: %w: %s", err, p.out.String())
		}
		time.Sleep(time.Millisecond)
	}
	op := opening{took: time.Since(began).Seconds()}
	for _, u := range urls {
		err := local(ctx, "curl", "-sf", "-o", "/dev/null", "--noproxy", "", "-x", "http://"+addr, "-r", "-1", u).Run()
		if err != nil {
			return op, fmt.Errorf("curl: %w", err)
		}
	}
	if op.live, err = live(addr); err != nil {
		return op, err
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return op, err
	}
	return op, p.cmd.Wait()
}

// diskUse is what the files below dir hold.
func diskUse(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().IsRegular() {
			n += info.Size()
		}
		return nil
	})
	return n, err
}
