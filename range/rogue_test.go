package ranges_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	ranges "dtpx/range"
)

// rogue is an origin that breaks a rule now and then, at random but the same
// for the same seed. It never sends other bytes under the same validator:
// that is the one thing that cannot be noticed.
type rogue struct {
	content []byte
	cache   string // Cache-Control

	mu     sync.Mutex
	rng    *rand.Rand
	spoilt int // of 100 range requests
	asked  int
}

// deadAfter is when a connection that says nothing is found out by others. The
// engine itself never gives up the last one that lives.
const deadAfter = 20 * time.Second

const rogueTag = `"v1"`

// misdeed is what happens to one reply.
type misdeed struct {
	kind string
	at   int           // body bytes before it strikes
	wait time.Duration // before the header
}

// choose picks the misdeed of the next reply; the first one's head is honest.
func (o *rogue) choose(length int) (m misdeed) {
	first := o.asked == 0
	o.asked++
	m.at = o.rng.IntN(length + 1)
	m.wait = time.Duration(o.rng.IntN(60)) * time.Millisecond
	if o.rng.IntN(100) >= o.spoilt {
		return m
	}
	kinds := []string{"truncate", "reset", "stall", "pause", "crawl", "slow"}
	if !first {
		kinds = append(kinds, "200", "range", "total", "tag", "403", "404", "429", "500", "503", "drop", "hang", "long", "gzip", "none", "garbage")
	}
	m.kind = kinds[o.rng.IntN(len(kinds))]
	return m
}

// answer is the origin as a function.
func (o *rogue) answer(ctx context.Context, req *http.Request) (*http.Response, error) {
	size := int64(len(o.content))
	r := ranges.Range{Start: 0, End: size}
	kind, asked, _ := ranges.ParseRange(req.Header.Values("Range"))
	if ir := req.Header.Get("If-Range"); kind == ranges.RangeOne && (ir == "" || ir == rogueTag) {
		if r = asked; r.End < 0 || r.End > size {
			r.End = size
		}
	} else {
		kind = ranges.RangeNone
	}
	h := http.Header{"Etag": {rogueTag}, "Cache-Control": {o.cache}}
	if req.Header.Get("If-None-Match") == rogueTag {
		return response(304, h, 0, http.NoBody), nil
	}
	o.mu.Lock()
	m := o.choose(int(r.Len()))
	pace := rand.New(rand.NewPCG(o.rng.Uint64(), 1))
	o.mu.Unlock()
	status, body, total := 200, o.content[r.Start:r.End], size
	length := int64(len(body))
	if kind == ranges.RangeOne {
		status = 206
	}
	switch m.kind {
	case "slow":
		m.wait = 3 * time.Second
	case "hang":
		m.wait = deadAfter
	case "200":
		status, body = 200, o.content
		length = size
	case "range":
		if status == 206 && r.Start+1 < size {
			r.Start++
			body = o.content[r.Start:r.End]
			length = r.Len()
		}
	case "total":
		total++
	case "tag":
		h.Set("Etag", `"v2"`)
		body = bytes.Repeat([]byte{'!'}, len(body))
	case "gzip":
		h.Set("Content-Encoding", "gzip")
		body = bytes.Repeat([]byte{'z'}, len(body))
	case "long":
		if length = -1; status == 206 {
			body = append(bytes.Clone(body), "and more"...)
		}
	case "403", "404", "429", "500", "503":
		status, _ = strconv.Atoi(m.kind)
		h.Set("Retry-After", "1")
		body, length = []byte("no"), 2
	}
	if status == 206 && m.kind != "none" {
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", r.Start, r.End-1, total))
	}
	if status == 206 && m.kind == "garbage" {
		h.Set("Content-Range", "bytes 9-5/x")
	}
	if err := sleep(ctx, m.wait); err != nil {
		return nil, err
	}
	if m.kind == "drop" {
		return nil, errors.New("dropped")
	}
	return response(status, h, length, &rogueBody{ctx: ctx, m: m, rest: body, rng: pace}), nil
}

func response(status int, h http.Header, length int64, body io.Reader) *http.Response {
	if length >= 0 {
		h.Set("Content-Length", strconv.FormatInt(length, 10))
	}
	return &http.Response{StatusCode: status, Status: strconv.Itoa(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, ContentLength: length, Body: io.NopCloser(body)}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// rogueBody sends some bytes at a time until its misdeed strikes.
type rogueBody struct {
	ctx  context.Context
	m    misdeed
	rest []byte
	sent int
	rng  *rand.Rand
}

func (b *rogueBody) Read(p []byte) (int, error) {
	if len(b.rest) == 0 {
		return 0, io.EOF
	}
	if err := sleep(b.ctx, time.Duration(b.rng.IntN(20))*time.Millisecond); err != nil {
		return 0, err
	}
	n := min(len(p), len(b.rest), 1+b.rng.IntN(2000))
	if b.sent >= b.m.at {
		switch b.m.kind {
		case "truncate":
			return 0, io.ErrUnexpectedEOF
		case "reset":
			return 0, errors.New("reset")
		case "stall":
			return 0, cmp.Or(sleep(b.ctx, deadAfter), errors.New("dead"))
		case "pause":
			b.m.kind = ""
			sleep(b.ctx, time.Duration(b.rng.IntN(4000))*time.Millisecond)
		case "crawl":
			sleep(b.ctx, 100*time.Millisecond)
			n = min(n, 10)
		}
	} else if b.m.kind != "" {
		n = min(n, b.m.at-b.sent)
	}
	copy(p, b.rest[:n])
	b.rest, b.sent = b.rest[n:], b.sent+n
	return n, nil
}

// ServeHTTP makes the same origin reachable over connections.
func (o *rogue) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	resp, err := o.answer(req.Context(), req)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	for f, v := range resp.Header {
		w.Header()[f] = v
	}
	w.WriteHeader(resp.StatusCode)
	buf := make([]byte, 4096)
	for {
		n, err := resp.Body.Read(buf)
		if _, werr := w.Write(buf[:n]); werr != nil || err == io.EOF {
			return
		}
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		http.NewResponseController(w).Flush()
	}
}

// source makes it one more ranges.Source, without connections.
type source struct {
	o    *rogue
	name string
}

func (s source) Kind() string                     { return "peer" }
func (s source) Name() string                     { return s.name }
func (s source) Lane(_ ranges.Target) ranges.Lane { return s }
func (s source) Close()                           {}

func (s source) RoundTrip(req *http.Request) (*http.Response, error) {
	if strings.Contains(req.Header.Get("Cookie"), "left=") {
		return nil, errors.New("credentials of somebody who has left")
	}
	return s.o.answer(req.Context(), req)
}
