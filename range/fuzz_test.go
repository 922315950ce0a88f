package ranges

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func FuzzParseContentRange(f *testing.F) {
	for _, s := range []string{"bytes 0-0/1", "bytes 5-9/*", "bytes */10", "bytes 9-5/20", "BYTES 1-2/3",
		"bytes 0-999999999999999999/1000000000000000000", "bytes 0-+5/9", "items 0-1/2", "bytes 0-1/2, bytes 0-1/2", "bytes  0-1/2 "} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		cr, err := ParseContentRange(s)
		if err != nil {
			return
		}
		if cr.Start < 0 || cr.Empty() || cr.Total >= 0 && cr.End > cr.Total || cr.Total < -1 {
			t.Fatalf("%q gave %+v", s, cr)
		}
		if cr.Total < 0 {
			return
		}
		if again, err := ParseContentRange(formatContentRange(cr.Range, cr.Total)); err != nil || again != cr {
			t.Fatalf("%q gave %+v and then %+v, %v", s, cr, again, err)
		}
	})
}

func FuzzParseRange(f *testing.F) {
	for _, s := range []string{"bytes=0-", "bytes=-1", "bytes=-0", "bytes=5-9", "bytes=9-5", "bytes=0-1,3-4", "bytes=-", "lines=1-2",
		"bytes=99999999999999999999-", "bytes = 1-2", "bytes=1 -2"} {
		f.Add(s, int64(100))
	}
	f.Fuzz(func(t *testing.T, s string, total int64) {
		kind, r, suffix := ParseRange([]string{s})
		if kind != RangeOne || total <= 0 {
			return
		}
		if r.Start < 0 || suffix < 0 || r.End != -1 && r.End < r.Start {
			t.Fatalf("%q gave %v, suffix %d", s, r, suffix)
		}
		if got := resolve(r, suffix, total); !got.Empty() && (got.Start < 0 || got.End > total) {
			t.Fatalf("%q of %d gave %v", s, total, got)
		}
	})
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("120", "")
	f.Add("Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 07:27:00 GMT")
	f.Add("-5", "x")
	f.Add("99999999999999999999999", "")
	f.Fuzz(func(t *testing.T, after, date string) {
		d := retryAfter(http.Header{"Retry-After": {after}, "Date": {date}})
		if d < 0 || d > time.Hour {
			t.Fatalf("%q at %q: %v", after, date, d)
		}
	})
}

// FuzzCheck: no response passes that is not exactly the range that was asked
// for of exactly this version.
func FuzzCheck(f *testing.F) {
	f.Add(206, "bytes 10-19/100", `"a"`, "", int64(10))
	f.Add(200, "", `"a"`, "", int64(100))
	f.Add(206, "bytes 10-19/100", `W/"a"`, "", int64(-1))
	f.Add(206, "bytes 10-19/*", `"a"`, "gzip", int64(10))
	v := version{validator: Validator{ETag: `"a"`}, total: 100}
	asked := Range{Start: 10, End: 20}
	f.Fuzz(func(t *testing.T, status int, contentRange, etag, encoding string, length int64) {
		h := http.Header{"Content-Range": {contentRange}, "Etag": {etag}}
		if encoding != "" {
			h.Set("Content-Encoding", encoding)
		}
		resp := &http.Response{StatusCode: status, Header: h, ContentLength: length}
		if bad := v.check(resp, asked); bad != nil {
			if bad.Error() == "" {
				t.Fatal("a fault without a word")
			}
			return
		}
		cr, err := ParseContentRange(contentRange)
		if err != nil || status != 206 || cr.Range != asked || cr.Total != 100 || strings.TrimSpace(etag) != `"a"` || encoding != "" || length >= 0 && length != 10 {
			t.Fatalf("%d %q %q %q %d passed", status, contentRange, etag, encoding, length)
		}
	})
}

// FuzzExactReader: a body is its range or an error, never longer or shorter.
func FuzzExactReader(f *testing.F) {
	f.Add("0123456789", int64(10))
	f.Add("short", int64(10))
	f.Add("longer than that", int64(4))
	f.Fuzz(func(t *testing.T, body string, n int64) {
		if n < 0 || n > 1<<16 {
			return
		}
		got, err := io.ReadAll(&exactReader{r: strings.NewReader(body), rest: n})
		if ok := int64(len(body)) == n; ok != (err == nil) || !strings.HasPrefix(body, string(got)) || ok && string(got) != body {
			t.Fatalf("%d of %d: %q, %v", n, len(body), got, err)
		}
	})
}
