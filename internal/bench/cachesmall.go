package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// cacheSmall: hits of 1 KiB from memory, 64 clients that keep their connections.
func (b *bench) cacheSmall() ([]row, error) {
	o, err := b.origin()
	if err != nil {
		return nil, err
	}
	defer o.stop()
	const name, files = "cache hit, 1 KiB, 64 clients", 64
	n, err := b.dtpx(local, "127.0.0.1:"+freePort(), trusting(o))
	if err != nil {
		return nil, err
	}
	ours, err := newSide("dtpx", n.process, n.addr, "")
	if err != nil {
		return nil, err
	}
	defer ours.stop()
	sides := []*side{ours}
	squid, err := b.squid(o, n.state)
	if err == nil {
		defer squid.stop()
		sides = append(sides, squid)
	} else if !absent(name, err) {
		return nil, err
	}
	var urls []string
	for i := range files {
		urls = append(urls, o.http+cacheable("1KiB", fmt.Sprintf("small%d", i)))
	}
	for _, s := range sides {
		if err := s.warm(o, urls...); err != nil {
			return nil, err
		}
	}
	for range b.rounds {
		for _, s := range sides {
			if err := s.hammer(urls, 2*time.Second); err != nil {
				return nil, err
			}
		}
	}
	if err := o.quiet(); err != nil {
		return nil, err
	}
	told := func(s *side) string {
		return fmt.Sprintf("%s %.0f/s, %.1f CPU µs each", s.name, median(s.rates), median(s.cpu)*1e6)
	}
	if squid == nil {
		return nil, nil
	}
	return []row{{name, "requests/s / squid memory hits", median(ours.rates) / median(squid.rates), 1, false, told(ours) + "; " + told(squid)}}, nil
}

// hammer has one client for each URL ask for it again and again. The clients do as
// little as possible: they share the two processors with who is measured.
func (s *side) hammer(urls []string, d time.Duration) error {
	var wg sync.WaitGroup
	var requests atomic.Int64
	errs := make([]error, len(urls))
	cpu, began := cpuOf(s.cmd.Process.Pid), time.Now()
	for i, u := range urls {
		wg.Go(func() {
			n, err := askUntil(s.addr, u, 1024, began.Add(d))
			requests.Add(n)
			errs[i] = err
		})
	}
	wg.Wait()
	s.rates = append(s.rates, float64(requests.Load())/time.Since(began).Seconds())
	s.cpu = append(s.cpu, (cpuOf(s.cmd.Process.Pid)-cpu).Seconds()/float64(requests.Load()))
	return errors.Join(errs...)
}

// askUntil sends one request after the other over one connection.
func askUntil(addr, url string, size int, end time.Time) (n int64, err error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	host, _, _ := strings.Cut(strings.TrimPrefix(url, "http://"), "/")
	request := []byte("GET " + url + " HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n")
	for r := bufio.NewReader(c); time.Now().Before(end); n++ {
		if _, err := c.Write(request); err != nil {
			return n, err
		}
		if err := skipAnswer(r, size); err != nil {
			return n, err
		}
	}
	return n, nil
}

// skipAnswer reads a 200 with so many bytes.
func skipAnswer(r *bufio.Reader, size int) error {
	length, status := -1, true
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if status && !bytes.HasPrefix(line, []byte("HTTP/1.1 200")) {
			return fmt.Errorf("answer %q", line)
		}
		status = false
		const field = "content-length:"
		if len(line) > len(field) && bytes.EqualFold(line[:len(field)], []byte(field)) {
			length, _ = strconv.Atoi(string(bytes.TrimSpace(line[len(field):])))
		}
		if len(bytes.TrimSpace(line)) == 0 {
			break
		}
	}
	if length != size {
		return fmt.Errorf("answer of %d bytes, want %d", length, size)
	}
	_, err := r.Discard(length)
	return err
}
