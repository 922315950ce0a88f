package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"dtpx/cache"
	"dtpx/internal/testbed"
)

// cacheFill: what keeping costs the download that brings it, on lines as they are, and
// where nothing but this machine's processors is the limit, which origin and client
// use as well.
func (b *bench) cacheFill() ([]row, error) {
	var rows []row
	for _, c := range []struct {
		scheme string
		size   int64
		rounds int
		line   string
		limits []string
	}{
		{"https", 64, b.rounds, ", 2 MiB/s a conn.", []string{"-per-conn", "2MiB/s", "-max-conns", "16"}},
		{"http", 512, b.rounds, ", 1 Gbit/s", []string{"-total", "117MiB/s"}},
		{"https", 512, b.rounds, ", 1 Gbit/s", []string{"-total", "117MiB/s"}},
		{"https", 512, b.rounds, ", 2.5 Gbit/s", []string{"-total", "293MiB/s"}},
		{"http", 512, 2*b.rounds + 1, "", nil},
		{"https", 512, 2*b.rounds + 1, "", nil},
	} {
		r, err := b.fill(c.scheme, c.line, c.size, c.rounds, c.limits)
		if err != nil {
			return rows, err
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// fill alternates nodes with and without a cache; each download has new nodes, so
// that none knows the host, and none's idle connections count against the other.
func (b *bench) fill(scheme, line string, size int64, rounds int, limits []string) (row, error) {
	o, err := b.origin(limits...)
	if err != nil {
		return row{}, err
	}
	defer o.stop()
	base := o.http
	if scheme == "https" {
		base = o.https
	}
	times, cpu := map[string][]float64{}, map[string][]float64{}
	for i := range rounds {
		order := []string{"", cacheOff}
		if i%2 == 1 {
			order = []string{cacheOff, ""}
		}
		for _, config := range order {
			s, err := b.dtpxSide("dtpx", trusting(o)+config)
			if err != nil {
				return row{}, err
			}
			before := cpuOf(s.cmd.Process.Pid)
			t, err := s.get(fmt.Sprintf("%s%s", base, cacheable(fmt.Sprintf("%dMiB", size), fmt.Sprintf("fill%d", i))), size*mib)
			used := cpuOf(s.cmd.Process.Pid) - before
			s.stop()
			if err != nil {
				return row{}, err
			}
			times[config] = append(times[config], t.total)
			cpu[config] = append(cpu[config], used.Seconds()*1024/float64(size))
		}
	}
	with, without := median(times[""]), median(times[cacheOff])
	name := fmt.Sprintf("cache fill, %s %d MiB%s", scheme, size, line)
	return row{name, "rate / cache off", without / with, 0.97, false, fmt.Sprintf("%.2f s, off %.2f s; %.2f CPU s/GiB, off %.2f",
		with, without, median(cpu[""]), median(cpu[cacheOff]))}, nil
}

// cacheCrowd: 20 clients want one file at once, of an origin with 100 MB/s for each
// connection. First clients that check what they get, which the machine's processors
// make slow, then such that only count it.
func (b *bench) cacheCrowd() ([]row, error) {
	o, err := testbed.New(testbed.Config{NoH2: true, Limits: testbed.Limits{PerConn: 100e6}})
	if err != nil {
		return nil, err
	}
	defer o.Close()
	const name, clients, size = "cache crowd, 20 clients, 256 MiB", 20, 256 * mib
	kinds := []string{"check", "count"}
	sent, right, note := map[string][]float64{}, []float64{}, map[string]string{}
	for i := range b.rounds {
		n, err := b.dtpxSide("dtpx", "")
		if err != nil {
			return nil, err
		}
		defer n.stop()
		for _, kind := range kinds {
			path := cacheable("256MiB", fmt.Sprintf("crowd-%s%d", kind, i))
			want := ""
			if kind == "check" {
				want = o.Content(o.HTTP + path).SHA256()
			}
			began := time.Now()
			good, err := n.crowd(clients, o.HTTP+path, size, want)
			if err != nil {
				return nil, err
			}
			took := time.Since(began).Seconds()
			c, err := n.cache()
			if err != nil {
				return nil, err
			}
			st := o.Log().Stats(path)
			sent[kind], right = append(sent[kind], float64(st.Total)/size), append(right, float64(good))
			note[kind] += fmt.Sprintf("; %.3f of %d requests, %.2f s, %d blocks dropped, %d completions", float64(st.Total)/size, st.Requests, took, c.Dropped, c.Completed)
		}
		n.stop()
	}
	rows := []row{{name, "clients with the right bytes", slices.Min(right), clients, false, "the worst round"}}
	for _, kind := range kinds {
		rows = append(rows, row{name, "origin's bytes / file, clients " + kind, median(sent[kind]), 1.01, true, "the rounds" + note[kind]})
	}
	return rows, nil
}

// cache is what dtpx counts of its own.
func (s *side) cache() (c cache.Stats, err error) {
	data, err := fetch("http://" + s.addr + "/api/v1/cache")
	if err != nil {
		return c, err
	}
	return c, json.Unmarshal(data, &c)
}

// crowd is how many of so many clients get size bytes, which have the digest want
// if that is known.
func (s *side) crowd(clients int, url string, size int64, want string) (good int, err error) {
	var wg sync.WaitGroup
	var right atomic.Int64
	errs := make([]error, clients)
	for i := range clients {
		wg.Go(func() {
			resp, err := s.client.Get(url)
			if err != nil {
				errs[i] = err
				return
			}
			defer resp.Body.Close()
			h := sha256.New()
			to := io.Writer(h)
			if want == "" {
				to = struct{ io.Writer }{io.Discard}
			}
			n, err := io.CopyBuffer(to, struct{ io.Reader }{resp.Body}, make([]byte, 256<<10))
			if errs[i] = err; err == nil && n == size && (want == "" || hex.EncodeToString(h.Sum(nil)) == want) {
				right.Add(1)
			}
		})
	}
	wg.Wait()
	return int(right.Load()), errors.Join(errs...)
}
