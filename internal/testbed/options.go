package testbed

import (
	"fmt"
	"hash/fnv"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Options say what one URL is. They stand in its query, or in a path element that
// holds a "=", separated by ";" there:
//
//	size=64MiB             also the first path element: /64MiB/name
//	seed=7                 content; without it every path has its own
//	text=1                 compressible content
//	etag=strong            strong | weak | none | request (another one each time; also weak-request) | edge (per local address)
//	change=5s, change=8MiB content and ETag become new ones after that time, or that many bytes served
//	age=24h                Last-Modified this long before the origin's start; age=none omits it
//	date=none              no Date field
//	ranges=none            Range is ignored and Accept-Ranges says so; ranges=silent: honoured, not announced
//	type=… name=…          Content-Type; file name of Content-Disposition
//	cache=… vary=…         Cache-Control and Vary
//	h=Field:value          any other field, repeatable
//	gzip=1                 gzip on the fly for those who accept it, chunked, ranges ignored
//	chunked=1              no Content-Length
//	ttfb=200ms             time before the header
//	once=1                 every request after the first gets 403
//	redirect=302           to a signed URL, which turns 403 after ttl=5s or uses=3 requests;
//	                       to=https://other:1 moves it to another origin
//	fault=…                see Fault, repeatable
//	x-…=…                  ignored: makes another URL
type Options struct {
	Size        int64
	Seed        uint64
	Text        bool
	ETag        string
	ChangeEvery time.Duration
	ChangeAfter int64
	Age         time.Duration // 0: 24h, negative: no Last-Modified
	NoDate      bool
	Ranges      string
	Type, Name  string
	Cache, Vary string
	Header      http.Header
	Gzip        bool
	Chunked     bool
	TTFB        time.Duration
	Once        bool
	Redirect    int
	TTL         time.Duration
	Uses        int
	To          string
	Faults      []Fault
	sig         string // of a redirect's target
	sized       bool   // a size was given
}

// Content is what a URL of this origin serves in its first version.
func (o *Origin) Content(rawURL string) Content {
	u, err := url.Parse(rawURL)
	if err != nil {
		return Content{}
	}
	opt, err := parseOptions(o.cfg.Defaults, u)
	if err != nil {
		return Content{}
	}
	return opt.content()
}

func (p Options) content() Content { return Content{Seed: p.Seed, Size: p.Size, Text: p.Text} }

// URL joins a base (Origin.HTTP or HTTPS), a path and options as "key=value".
func URL(base, path string, options ...string) string {
	q := url.Values{}
	for _, s := range options {
		k, v, _ := strings.Cut(s, "=")
		q.Add(k, v)
	}
	u := base + "/" + strings.TrimPrefix(path, "/")
	if len(q) > 0 {
		u += "?" + q.Encode()
	}
	return u
}

func parseOptions(defaults Options, u *url.URL) (Options, error) {
	p := defaults
	p.Header, p.sized = p.Header.Clone(), p.Size > 0
	for i, elem := range strings.Split(strings.Trim(u.Path, "/"), "/") {
		if i == 0 && !strings.Contains(elem, "=") {
			if n, err := ParseSize(elem); err == nil {
				p.Size, p.sized = n, true
			}
			continue
		}
		if !strings.Contains(elem, "=") {
			continue
		}
		for pair := range strings.SplitSeq(elem, ";") {
			k, v, _ := strings.Cut(pair, "=")
			if err := p.set(k, v); err != nil {
				return p, err
			}
		}
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return p, err
	}
	for k, vs := range query {
		for _, v := range vs {
			if err := p.set(k, v); err != nil {
				return p, err
			}
		}
	}
	if p.Seed == 0 {
		h := fnv.New64a()
		h.Write([]byte(u.Path))
		p.Seed = h.Sum64()
	}
	return p, nil
}

func (p *Options) set(k, v string) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("option %s=%s: %w", k, v, err)
		}
	}()
	switch k {
	case "size":
		p.sized = true
		p.Size, err = ParseSize(v)
	case "seed":
		p.Seed, err = strconv.ParseUint(v, 0, 64)
	case "text":
		p.Text = true
	case "etag":
		p.ETag, err = v, oneOf(v, "strong", "weak", "none", "request", "weak-request", "edge")
	case "change":
		if p.ChangeEvery, err = time.ParseDuration(v); err != nil {
			p.ChangeAfter, err = ParseSize(v)
		}
	case "age":
		if p.Age = -1; v != "none" {
			p.Age, err = time.ParseDuration(v)
		}
	case "date":
		p.NoDate, err = true, oneOf(v, "none")
	case "ranges":
		p.Ranges, err = v, oneOf(v, "none", "silent")
	case "gzip":
		p.Gzip = true
	case "chunked":
		p.Chunked = true
	case "ttfb":
		p.TTFB, err = time.ParseDuration(v)
	case "once":
		p.Once = true
	case "fault":
		var f Fault
		f, err = ParseFault(v)
		p.Faults = append(p.Faults[:len(p.Faults):len(p.Faults)], f)
	default:
		return p.setText(k, v)
	}
	return err
}

func (p *Options) setText(k, v string) (err error) {
	switch k {
	case "type":
		p.Type = v
	case "name":
		p.Name = v
	case "cache":
		p.Cache = v
	case "vary":
		p.Vary = v
	case "h":
		name, value, _ := strings.Cut(v, ":")
		if p.Header == nil {
			p.Header = http.Header{}
		}
		p.Header.Add(name, strings.TrimSpace(value))
	case "redirect":
		p.Redirect, err = strconv.Atoi(v)
	case "ttl":
		p.TTL, err = time.ParseDuration(v)
	case "uses":
		p.Uses, err = strconv.Atoi(v)
	case "to":
		p.To = v
	case "sig":
		p.sig = v
	default:
		if !strings.HasPrefix(k, "x-") {
			return fmt.Errorf("unknown; names that begin with x- are ignored")
		}
	}
	return err
}

func oneOf(v string, allowed ...string) error {
	for _, a := range allowed {
		if v == a {
			return nil
		}
	}
	return fmt.Errorf("want one of %s", strings.Join(allowed, ", "))
}

var units = []struct {
	name string
	n    int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}, {"", 1}}

// ParseSize reads 4096, 64KiB, 8GiB, 10MB; a final "/s" is allowed, so it reads rates.
func ParseSize(s string) (int64, error) {
	num := strings.TrimSuffix(s, "/s")
	for _, u := range units {
		digits, ok := strings.CutSuffix(num, u.name)
		if n, err := strconv.ParseInt(digits, 10, 64); ok && err == nil && n >= 0 && n <= 1<<62/u.n {
			return n * u.n, nil
		}
	}
	return 0, fmt.Errorf("size %q: write it like 4096, 64KiB or 8GiB", s)
}
