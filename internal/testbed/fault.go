package testbed

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Fault is one misbehaviour and when it happens. As text: the kind, then
// conditions and parameters with commas, fault=stall,at=last,after=64KiB,times=1.
//
// When (all that are given must hold):
//
//	req=2, req=2-, req=1-3   the URL's request by number, from 1
//	at=first                 reply begins at byte 0
//	at=middle, at=last       reply begins later and covers the middle, the last byte
//	at=4096                  reply covers that byte
//	times=2                  so often, then no more
//	from=127.0.0.2           this client address
//
// What:
//
//	ignore-range         200 with everything
//	wrong-range          206 that says and sends a range moved by n=1
//	wrong-total          Content-Range names a total larger by n=1
//	no-content-range     206 without Content-Range
//	bad-content-range    Content-Range is value=…
//	bad-length           Content-Length is value=-5                           (HTTP/1)
//	short-206, long-206  Content-Length and body n=1 bytes less, more than Content-Range says
//	extra                n=16 bytes after the end of the body                 (HTTP/1)
//	shifted, corrupt     says the right range and sends other bytes, flips a bit in the
//	                     middle. Undetectable without a digest: the client gets it wrong
//	new-etag             another ETag, same content
//	new-version          another ETag, other content
//	no-etag              no validator at all
//	multipart            a single range as multipart/byteranges
//	gzip, chunked        as the options, for this reply
//	http10               answers HTTP/1.0 without length, ended by close      (HTTP/1)
//	403, 429, 503, …     that status; retry=2s adds Retry-After
//	slow-headers         header after for=2s
//	hang                 never an answer
//	drop                 closed instead of an answer; drop-reset: by TCP RST
//	truncate             closed after after=… body bytes
//	reset                TCP RST after after=…
//	stall                silence after after=…, until the client leaves
//	pause                silence for for=1s after after=…
//	trickle              rate=1KiB/s from after=… on
//
// after is half of the reply's body unless given.
type Fault struct {
	Kind       string
	From       string
	At         string
	First, End int // request numbers, 0 = open
	Times      int
	After      int64 // -1: half
	N          int64
	Rate       int64
	For        time.Duration
	Retry      time.Duration
	Value      string
	// Match is one more condition, for tests that keep their own books.
	Match func(r *http.Request, number int, start, end int64) bool
}

// ParseFault reads the text form.
func ParseFault(s string) (Fault, error) {
	words := strings.Split(s, ",")
	f := Fault{Kind: words[0], After: -1}
	if !f.known() {
		return f, fmt.Errorf("no fault %q: see internal/testbed/fault.go for the names", f.Kind)
	}
	for _, w := range words[1:] {
		k, v, _ := strings.Cut(w, "=")
		if err := f.set(k, v); err != nil {
			return f, fmt.Errorf("fault %s: %s: %w", f.Kind, w, err)
		}
	}
	return f, nil
}

func (f *Fault) set(k, v string) (err error) {
	switch k {
	case "req":
		f.First, f.End, err = parseSpan(v)
	case "at":
		if f.At = v; v != "first" && v != "middle" && v != "last" {
			_, err = ParseSize(v)
		}
	case "times":
		f.Times, err = strconv.Atoi(v)
	case "from":
		f.From = v
	case "after":
		f.After, err = ParseSize(v)
	case "n":
		f.N, err = strconv.ParseInt(v, 10, 64)
	case "rate":
		f.Rate, err = ParseSize(v)
	case "for":
		f.For, err = time.ParseDuration(v)
	case "retry":
		f.Retry, err = time.ParseDuration(v)
	case "value":
		f.Value = v
	default:
		err = fmt.Errorf("unknown; want req, at, times, from, after, n, rate, for, retry or value")
	}
	return err
}

func parseSpan(v string) (first, end int, err error) {
	a, b, open := strings.Cut(v, "-")
	if first, err = strconv.Atoi(a); err != nil || !open {
		return first, first, err
	}
	if b != "" {
		end, err = strconv.Atoi(b)
	}
	return first, end, err
}

// applies looks at everything but Times.
func (f *Fault) applies(q *request) bool {
	start, end := q.reply.span()
	return q.number >= f.First && (f.End == 0 || q.number <= f.End) &&
		(f.From == "" || f.From == q.conn.ip.String()) &&
		f.covers(start, end, q.reply.content.Size) &&
		(f.Match == nil || f.Match(q.r, q.number, start, end))
}

func (f *Fault) covers(start, end, size int64) bool {
	in := func(x int64) bool { return start <= x && x < end }
	switch f.At {
	case "":
		return true
	case "first":
		return start == 0
	case "middle":
		return start > 0 && in(size/2)
	case "last":
		return start > 0 && in(size-1)
	}
	x, err := ParseSize(f.At)
	return err == nil && in(x)
}

func (f *Fault) known() bool {
	_, ok := faults[f.Kind]
	return ok || f.status() != 0
}

func (f *Fault) status() int {
	if n, err := strconv.Atoi(f.Kind); err == nil && n >= 400 && n <= 599 {
		return n
	}
	return 0
}

func (f *Fault) number(otherwise int64) int64 {
	if f.N != 0 {
		return f.N
	}
	return otherwise
}

func (f *Fault) value(otherwise string) string {
	if f.Value != "" {
		return f.Value
	}
	return otherwise
}

func (f *Fault) duration(otherwise time.Duration) time.Duration {
	if f.For != 0 {
		return f.For
	}
	return otherwise
}

// alter makes the reply misbehave.
func (f *Fault) alter(p *reply) {
	if code := f.status(); code != 0 {
		p.fail(code, f.Retry)
		return
	}
	faults[f.Kind](f, p)
}
