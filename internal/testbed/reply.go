package testbed

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// part is a range of the content.
type part struct{ off, n int64 }

// reply is what will be sent; faults alter it first.
type reply struct {
	status  int
	header  http.Header
	content Content
	parts   []part
	length  int64 // Content-Length, -1 = none
	heads   []string
	tail    string // multipart: before each part, after the last

	before  step // in place of, or before, the header
	steps   []placed
	gzipped bool
	shift   int64
	flip    bool

	raw       bool // written by hand: net/http would not do it
	rawLength string
	extra     int64
	http10    bool
}

type placed struct {
	after int64
	do    step
}

func (p *reply) span() (start, end int64) {
	for i, x := range p.parts {
		if i == 0 || x.off < start {
			start = x.off
		}
		end = max(end, x.off+x.n)
	}
	return start, end
}

func (p *reply) body() (n int64) {
	for _, x := range p.parts {
		n += x.n
	}
	return n
}

// at places a step after so many bytes of the body, -1 = half.
func (p *reply) at(after int64, do step) {
	if after < 0 {
		after = p.body() / 2
	}
	p.steps = append(p.steps, placed{after, do})
	slices.SortStableFunc(p.steps, func(a, b placed) int { return int(min(1, max(-1, a.after-b.after))) })
}

func (p *reply) whole() {
	p.status, p.parts, p.length = http.StatusOK, []part{{0, p.content.Size}}, p.content.Size
	p.heads, p.tail = nil, ""
	p.header.Del("Content-Range")
}

func (p *reply) ranges(parts []part) {
	p.status, p.parts = http.StatusPartialContent, parts
	if len(parts) > 1 {
		p.multipart()
		return
	}
	p.length = parts[0].n
	p.header.Set("Content-Range", contentRange(parts[0], p.content.Size))
}

func contentRange(x part, size int64) string {
	return fmt.Sprintf("bytes %d-%d/%d", x.off, x.off+x.n-1, size)
}

const boundary = "testbed-5f1c7a90d2"

func (p *reply) multipart() {
	if p.status != http.StatusPartialContent || p.heads != nil {
		return
	}
	kind := p.header.Get("Content-Type")
	p.length = 0
	for i, x := range p.parts {
		head := fmt.Sprintf("--%s\r\nContent-Type: %s\r\nContent-Range: %s\r\n\r\n", boundary, kind, contentRange(x, p.content.Size))
		if i > 0 {
			head = "\r\n" + head
		}
		p.heads = append(p.heads, head)
		p.length += int64(len(head)) + x.n
	}
	p.tail = "\r\n--" + boundary + "--\r\n"
	p.length += int64(len(p.tail))
	p.header.Del("Content-Range")
	p.header.Set("Content-Type", "multipart/byteranges; boundary="+boundary)
}

// compress is on-the-fly gzip as servers do it: whole, without length, ETag weak.
func (p *reply) compress() {
	p.whole()
	p.length, p.gzipped = -1, true
	p.header.Set("Content-Encoding", "gzip")
	p.header.Add("Vary", "Accept-Encoding")
	p.header.Del("Accept-Ranges")
	if tag := p.header.Get("ETag"); strings.HasPrefix(tag, `"`) {
		p.header.Set("ETag", "W/"+tag)
	}
}

// resize makes body and Content-Length differ from Content-Range by d.
func (p *reply) resize(d int64) {
	if p.status == http.StatusPartialContent && len(p.parts) == 1 && p.parts[0].n+d > 0 {
		p.parts[0].n += d
		p.length += d
	}
}

func (p *reply) fail(code int, retry time.Duration) {
	*p = reply{status: code, header: http.Header{}, content: p.content}
	if retry > 0 {
		p.header.Set("Retry-After", retryAfter(retry))
	}
}

// retryAfter rounds up: RFC 9110 §10.2.3 knows whole seconds only.
func retryAfter(d time.Duration) string {
	return strconv.Itoa(int((d + time.Second - 1) / time.Second))
}
