package testbed

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func start(t *testing.T, cfg Config) *Origin {
	t.Helper()
	o, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Close() })
	return o
}

// get returns the answer and its body with whatever ended it.
func get(t *testing.T, o *Origin, url string, fields ...string) (*http.Response, []byte, error) {
	t.Helper()
	return getWith(t, o.Client(), url, fields...)
}

func getWith(t *testing.T, c *http.Client, url string, fields ...string) (*http.Response, []byte, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range fields {
		if k, v, ok := strings.Cut(f, ": "); ok {
			r.Header.Set(k, v)
		}
	}
	defer c.CloseIdleConnections()
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := c.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, body, err
}

func TestRangesAndConditions(t *testing.T) {
	o := start(t, Config{})
	u := URL(o.HTTP, "100000/f", "seed=1")
	resp, _, err := get(t, o, u)
	if err != nil {
		t.Fatal(err)
	}
	tag, modified := resp.Header.Get("ETag"), resp.Header.Get("Last-Modified")
	for _, x := range []struct {
		fields   string
		status   int
		off, len int
		crange   string
	}{
		{"", 200, 0, 100000, ""},
		{"Range: bytes=0-0", 206, 0, 1, "bytes 0-0/100000"},
		{"Range: bytes=99999-", 206, 99999, 1, "bytes 99999-99999/100000"},
		{"Range: bytes=-3", 206, 99997, 3, "bytes 99997-99999/100000"},
		{"Range: bytes=5-1000000", 206, 5, 99995, "bytes 5-99999/100000"},
		{"Range: bytes=100000-", 416, 0, 0, "bytes */100000"},
		{"Range: bytes=7-3", 200, 0, 100000, ""},
		{"Range: lines=7-3", 200, 0, 100000, ""},
		{"Range: bytes=1-2|If-Range: " + tag, 206, 1, 2, "bytes 1-2/100000"},
		{"Range: bytes=1-2|If-Range: " + modified, 206, 1, 2, "bytes 1-2/100000"},
		{`Range: bytes=1-2|If-Range: "x"`, 200, 0, 100000, ""},
		{`If-None-Match: "x", ` + tag, 304, 0, 0, ""},
		{"If-None-Match: W/" + tag, 304, 0, 0, ""},
		{"If-Modified-Since: " + modified, 304, 0, 0, ""},
		{`If-Match: "x"`, 412, 0, 0, ""},
	} {
		resp, body, err := get(t, o, u, strings.Split(x.fields, "|")...)
		if err != nil {
			t.Fatalf("%s: %v", x.fields, err)
		}
		if resp.StatusCode != x.status || resp.Header.Get("Content-Range") != x.crange || len(body) != x.len {
			t.Errorf("%s: %s, %q, %d bytes", x.fields, resp.Status, resp.Header.Get("Content-Range"), len(body))
		}
		if err := o.Content(u).VerifyRange(strings.NewReader(string(body)), int64(x.off), int64(x.len)); err != nil {
			t.Errorf("%s: %v", x.fields, err)
		}
	}
}

func TestSeveralRanges(t *testing.T) {
	o := start(t, Config{})
	resp, body, err := get(t, o, URL(o.HTTPS, "1000/f"), "Range: bytes=0-9,990-")
	if err != nil || resp.StatusCode != 206 || resp.ContentLength != int64(len(body)) ||
		!strings.HasPrefix(resp.Header.Get("Content-Type"), "multipart/byteranges") ||
		strings.Count(string(body), "Content-Range: bytes ") != 2 {
		t.Fatalf("%v %v %q", err, resp, body)
	}
}

func TestHTTPSBothProtocolsAndBadCertificates(t *testing.T) {
	o := start(t, Config{})
	resp, body, err := get(t, o, URL(o.HTTPS, "/300000/f"))
	if err != nil || resp.ProtoMajor != 2 {
		t.Fatal(err, resp)
	}
	if err := o.Content(o.HTTPS + "/300000/f").Verify(strings.NewReader(string(body))); err != nil {
		t.Fatal(err)
	}
	if resp, _, err := get(t, o, URL(o.HTTPS, "/300000/f"), "If-None-Match: "+resp.Header.Get("Etag")); err != nil || resp.StatusCode != http.StatusNotModified {
		t.Errorf("a 304 over h2: %v %v", resp, err)
	}
	h1 := start(t, Config{NoH2: true, CA: o.CA})
	if resp, _, err := get(t, h1, URL(h1.HTTPS, "/300000/f")); err != nil || resp.ProtoMajor != 1 {
		t.Fatal(err, resp)
	}
	for kind, want := range map[CertKind]string{
		CertExpired: "expired", CertNotYet: "not yet valid", CertWrongHost: "127.0.0.1",
		CertSelfSigned: "unknown authority", CertUnknownRoot: "unknown authority",
	} {
		bad := start(t, Config{Listen: "off", Cert: kind, CA: o.CA})
		if _, _, err := get(t, bad, URL(bad.HTTPS, "/1/f")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", kind, err, want)
		}
	}
}

func TestValidators(t *testing.T) {
	o := start(t, Config{Listen: "127.0.0.1:0,127.0.0.1:0"})
	tags := func(opts ...string) (a, b string) {
		u := URL(o.HTTP, "10/f", opts...)
		r1, b1, _ := get(t, o, u)
		r2, b2, _ := get(t, o, u)
		return r1.Header.Get("ETag") + string(b1), r2.Header.Get("ETag") + string(b2)
	}
	if a, b := tags(); a != b || !strings.HasPrefix(a, `"`) {
		t.Errorf("strong: %q %q", a, b)
	}
	if a, b := tags("etag=weak"); a != b || !strings.HasPrefix(a, `W/"`) {
		t.Errorf("weak: %q %q", a, b)
	}
	if a, b := tags("etag=request"); a[:len(a)-10] == b[:len(b)-10] || a[len(a)-10:] != b[len(b)-10:] {
		t.Errorf("request: %q %q", a, b)
	}
	if a, b := tags("change=10"); a[:len(a)-10] == b[:len(b)-10] || a[len(a)-10:] == b[len(b)-10:] {
		t.Errorf("change: %q %q", a, b)
	}
	if a, b := tags("etag=edge"); a != b || !strings.Contains(a, strings.TrimPrefix(o.HTTP, "http://")) {
		t.Errorf("edge: %q %q", a, b)
	}
	resp, _, _ := get(t, o, URL(o.HTTP, "10/f", "etag=none", "age=none", "date=none", "name=a b.iso", "cache=public", "h=X-A: 1"))
	h := resp.Header
	if h.Get("ETag")+h.Get("Last-Modified")+h.Get("Date") != "" || h.Get("Content-Disposition") != `attachment; filename="a b.iso"` ||
		h.Get("Cache-Control") != "public" || h.Get("X-A") != "1" {
		t.Error(h)
	}
}

func TestGzipAndChunked(t *testing.T) {
	o := start(t, Config{})
	u := URL(o.HTTP, "100000/f", "gzip=1", "text=1")
	resp, body, err := get(t, o, u, "Accept-Encoding: gzip", "Range: bytes=5-6")
	if err != nil || resp.StatusCode != 200 || resp.ContentLength != -1 || resp.Header.Get("Content-Encoding") != "gzip" {
		t.Fatal(err, resp)
	}
	z, err := gzip.NewReader(strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Content(u).Verify(z); err != nil {
		t.Fatal(err)
	}
	if len(body) > 70000 {
		t.Errorf("%d bytes: text should compress", len(body))
	}
	for _, base := range []string{o.HTTP, o.HTTPS} {
		resp, body, err = get(t, o, URL(base, "10/f", "chunked=1"))
		if err != nil || resp.ContentLength != -1 || len(body) != 10 {
			t.Error(err, resp)
		}
	}
}

func TestOnceAndRedirects(t *testing.T) {
	o := start(t, Config{})
	u := URL(o.HTTP, "10/f", "once=1")
	if r, _, _ := get(t, o, u); r.StatusCode != 200 {
		t.Error(r.Status)
	}
	if r, _, _ := get(t, o, u); r.StatusCode != 403 {
		t.Error(r.Status)
	}
	u = URL(o.HTTP, "10/f", "redirect=302", "uses=2")
	for range 2 { // the second redirect hands out a fresh target
		r, _, _ := get(t, o, u)
		if r.StatusCode != 302 {
			t.Fatal(r.Status)
		}
		target := o.HTTP + r.Header.Get("Location")
		for i, want := range []int{200, 200, 403, 403} {
			if r, _, _ := get(t, o, target); r.StatusCode != want {
				t.Errorf("use %d: %s", i+1, r.Status)
			}
		}
	}
}

func TestUnknownWordsAreRefused(t *testing.T) {
	o := start(t, Config{})
	for _, opt := range []string{"etga=weak", "etag=strnog", "fault=nonsense", "fault=stall,foo=1", "size=x"} {
		if r, body, _ := get(t, o, URL(o.HTTP, "10/f", opt)); r.StatusCode != 400 || len(body) == 0 {
			t.Errorf("%s: %s", opt, r.Status)
		}
	}
	if r, _, _ := get(t, o, o.HTTP+"/nothing"); r.StatusCode != 404 {
		t.Error(r.Status)
	}
}

func TestCloseEndsStalledRequests(t *testing.T) {
	o := start(t, Config{})
	resp, err := o.Client().Get(URL(o.HTTP, "10MiB/f", "fault=stall"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	o.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
}
