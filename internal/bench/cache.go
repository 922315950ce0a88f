package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// side is a cache that is measured, and the client that asks it: one of this
// process, the same for all sides.
type side struct {
	*process
	name, addr string
	client     *http.Client
	buf        []byte

	rates, cpu, first []float64 // of each round: bytes/s, CPU s/GiB, seconds
}

// newSide takes the roots of its client from ca, a PEM file.
func newSide(name string, p *process, addr, ca string) (*side, error) {
	roots := x509.NewCertPool()
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, err
		}
		roots.AppendCertsFromPEM(pem)
	}
	tr := &http.Transport{
		Proxy:              http.ProxyURL(&url.URL{Scheme: "http", Host: addr}),
		TLSClientConfig:    &tls.Config{RootCAs: roots},
		DisableCompression: true, MaxIdleConnsPerHost: 64,
	}
	return &side{process: p, name: name, addr: addr, client: &http.Client{Transport: tr}, buf: make([]byte, 256<<10)}, nil
}

func (s *side) stop() {
	s.client.CloseIdleConnections()
	s.process.stop()
}

func (b *bench) dtpxSide(name, config string) (*side, error) {
	n, err := b.dtpx(local, "127.0.0.1:"+freePort(), config)
	if err != nil {
		return nil, err
	}
	return newSide(name, n.process, n.addr, filepath.Join(n.state, "ca.pem"))
}

// cacheable makes a path that any cache keeps, also by its name.
func cacheable(size, name string) string {
	return fmt.Sprintf("/%s/cache=max-age=86400/%s_1.0_amd64.deb", size, name)
}

const cacheOff = "cache: {enabled: false}\n"

const anySize = -1

// get reads a body of n bytes and forgets it.
func (s *side) get(url string, n int64) (sample, error) { return s.read(url, n, s.buf) }

func (s *side) read(url string, n int64, buf []byte) (t sample, err error) {
	began := time.Now()
	resp, err := s.client.Get(url)
	if err != nil {
		return t, err
	}
	defer resp.Body.Close()
	got := int64(0)
	for err == nil {
		var k int
		k, err = resp.Body.Read(buf)
		if got == 0 && k > 0 {
			t.first = time.Since(began).Seconds()
		}
		got += int64(k)
	}
	t.total = time.Since(began).Seconds()
	if err != io.EOF || got != n && n != anySize || resp.StatusCode != http.StatusOK {
		return t, fmt.Errorf("%s: %d bytes of %d, status %d: %w", s.name, got, n, resp.StatusCode, err)
	}
	return t, nil
}

// warm asks for everything until the origin hears nothing of it.
func (s *side) warm(o *origin, urls ...string) error {
	for range 5 {
		if err := o.reset(); err != nil {
			return err
		}
		for _, u := range urls {
			if _, err := s.get(u, anySize); err != nil {
				return err
			}
		}
		if o.quiet() == nil {
			return nil
		}
		time.Sleep(300 * time.Millisecond) // it may still be writing
	}
	return fmt.Errorf("%s does not keep it: %w", s.name, o.quiet())
}

// quiet is an error if the origin was asked for a body since the last reset: then
// the hits were none.
func (o *origin) quiet() error {
	n, _, err := o.crossed()
	if err == nil && n > 0 {
		return fmt.Errorf("the origin sent %d bytes meanwhile", n)
	}
	return err
}

// round is some downloads of one file.
func (s *side) round(times int, size int64, url func(i int) string) error {
	cpu, took := cpuOf(s.cmd.Process.Pid), 0.0
	var first []float64
	for i := range times {
		t, err := s.get(url(i), size)
		if err != nil {
			return err
		}
		took += t.total
		first = append(first, t.first)
	}
	bytes := float64(times) * float64(size)
	s.rates = append(s.rates, bytes/took)
	s.cpu = append(s.cpu, (cpuOf(s.cmd.Process.Pid)-cpu).Seconds()/(bytes/(1<<30)))
	s.first = append(s.first, median(first))
	return nil
}

func (s *side) told() string {
	return fmt.Sprintf("%s %.0f MB/s, %.2f CPU s/GiB, first byte %.2f ms", s.name, median(s.rates)/1e6, median(s.cpu), median(s.first)*1e3)
}

// cacheHit: 256 MiB of http from the disk (the page cache), one client.
func (b *bench) cacheHit() ([]row, error) {
	o, err := b.lowOrigin()
	if err != nil {
		return nil, err
	}
	defer o.stop()
	const name, size, times = "cache hit, http 256 MiB", 256 * mib, 8
	ours, err := b.dtpxSide("dtpx", trusting(o))
	if err != nil {
		return nil, err
	}
	defer ours.stop()
	sides := []*side{ours}
	for _, make := range []func() (*side, error){func() (*side, error) { return b.nginx(o) }, b.acng} {
		s, err := make()
		if absent(name, err) {
			continue
		} else if err != nil {
			return nil, err
		}
		defer s.stop()
		sides = append(sides, s)
	}
	url := o.http + cacheable("256MiB", "hit")
	for _, s := range sides {
		if err := s.warm(o, url); err != nil {
			return nil, err
		}
	}
	for range b.rounds {
		for _, s := range sides {
			if err := s.round(times, size, func(int) string { return url }); err != nil {
				return nil, err
			}
		}
	}
	if err := o.quiet(); err != nil {
		return nil, err
	}
	var rows []row
	for _, s := range sides[1:] {
		rows = append(rows,
			row{name, "rate / " + s.name, median(ours.rates) / median(s.rates), 0.95, false, ours.told() + "; " + s.told()},
			row{name, "CPU s/GiB / " + s.name, median(ours.cpu) / median(s.cpu), 1.05, true, ""})
	}
	return append(rows, row{name, "first byte, ms", median(ours.first) * 1e3, 1, true, "connection kept alive; " + ours.told()}), nil
}

// cacheHitTLS: hits of https against what the same dtpx does without a cache, and
// against squid's. The origin is not throttled.
func (b *bench) cacheHitTLS() ([]row, error) {
	o, err := b.origin()
	if err != nil {
		return nil, err
	}
	defer o.stop()
	const name, size, times = "cache hit, https 256 MiB", 256 * mib, 3
	n, err := b.dtpx(local, "127.0.0.1:"+freePort(), trusting(o))
	if err != nil {
		return nil, err
	}
	ours, err := newSide("dtpx", n.process, n.addr, filepath.Join(n.state, "ca.pem"))
	if err != nil {
		return nil, err
	}
	defer ours.stop()
	off, err := b.dtpxSide("cache off", trusting(o)+cacheOff)
	if err != nil {
		return nil, err
	}
	defer off.stop()
	squid, err := b.squid(o, n.state)
	if err == nil {
		defer squid.stop()
	} else if !absent(name, err) {
		return nil, err
	}
	hit := o.https + cacheable("256MiB", "hit")
	sides := []*side{ours}
	if squid != nil {
		sides = append(sides, squid)
	}
	for _, s := range sides {
		if err := s.warm(o, hit); err != nil {
			return nil, err
		}
	}
	for i := range b.rounds {
		for _, s := range sides {
			if err := s.round(times, size, func(int) string { return hit }); err != nil {
				return nil, err
			}
		}
		if err := o.quiet(); err != nil {
			return nil, err
		}
		err := off.round(times, size, func(k int) string { return o.https + cacheable("256MiB", fmt.Sprintf("off%d-%d", i, k)) })
		if err != nil {
			return nil, err
		}
		if err := o.reset(); err != nil {
			return nil, err
		}
	}
	rows := []row{
		{name, "rate / cache off", median(ours.rates) / median(off.rates), 1, false, ours.told() + "; " + off.told()},
		{name, "first byte, ms", median(ours.first) * 1e3, 1, true, "connection kept alive"},
	}
	if squid != nil {
		rows = append(rows, row{name, "rate / squid bump hit", median(ours.rates) / median(squid.rates), 1, false, squid.told()})
	}
	return rows, nil
}
