package cache

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// way is one of the ways in which an origin vouches for content.
type way struct {
	name   string
	scheme string
	path   func(body []byte) string
	serve  func(body []byte, fields ...string) http.HandlerFunc // of the file itself
	before func(b *rig, body []byte, path string)               // what b has seen
	points int                                                  // that a lie costs
}

func hexOf(body []byte) string {
	h := sha256.Sum256(body)
	return hex.EncodeToString(h[:])
}

func plainFile(body []byte, fields ...string) http.HandlerFunc { return file(body, `"v1"`, fields...) }

var ways = []way{
	{"by-hash", "http", func(body []byte) string { return "/dists/s/main/by-hash/SHA256/" + hexOf(body) }, plainFile, nil, 2},
	{"OCI", "https", func(body []byte) string { return "/v2/library/x/blobs/sha256:" + hexOf(body) }, plainFile, nil, 2},
	{"Packages", "http", func([]byte) string { return "/debian/pool/f.deb" }, plainFile, func(b *rig, body []byte, path string) {
		list := []byte("Package: f\nFilename: pool/f.deb\nSHA256: " + hexOf(body) + "\n\n")
		b.learns("/debian/dists/s/main/binary-all/Packages", list)
	}, 1},
	{"SHA256SUMS", "https", func([]byte) string { return "/iso/f.iso" }, plainFile, func(b *rig, body []byte, path string) {
		b.learns("/iso/SHA256SUMS", []byte(hexOf(body)+"  f.iso\n"))
	}, 1},
	{"Repr-Digest", "https", func([]byte) string { return "/f.bin" }, func(body []byte, fields ...string) http.HandlerFunc {
		sum, _ := hex.DecodeString(hexOf(body))
		return plainFile(body, append(fields, "Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(sum)+":")...)
	}, func(b *rig, body []byte, path string) {
		b.want(b.get("/other"), 200, body) // its host gives digests
	}, 2},
}

// learns makes b get a list and waits until it has been read.
func (b *rig) learns(path string, list []byte) {
	b.t.Helper()
	had := b.cache.Stats().Digests
	b.want(b.get(path), 200, list)
	waitFor(b.t, func() bool { return b.cache.Stats().Digests > had })
}

// house is an origin, a member that has its file, and another one that does not trust
// the first.
func (w way) house(t *testing.T, body []byte, fields ...string) (l *lender, b *rig, path string) {
	t.Helper()
	path = w.path(body)
	serve := w.serve(body, append(fields, "Cache-Control", fresh)...)
	r := newRigOver(t, w.scheme, func(rw http.ResponseWriter, q *http.Request) {
		switch {
		case strings.HasSuffix(q.URL.Path, "/Packages"):
			file([]byte("Package: f\nFilename: pool/f.deb\nSHA256: "+hexOf(body)+"\n\n"), `"p"`, "Cache-Control", fresh)(rw, q)
		case strings.HasSuffix(q.URL.Path, "/SHA256SUMS"):
			file([]byte(hexOf(body)+"  f.iso\n"), `"s"`, "Cache-Control", fresh)(rw, q)
		default:
			serve(rw, q)
		}
	})
	r.want(r.get(path), 200, body)
	l, b = lend(t, r, false)
	b.knows(l)
	if w.before != nil {
		w.before(b, body, path)
	}
	l.free()
	return l, b, path
}

// trojan gives other bytes of the same length.
func trojan(w http.ResponseWriter, r *http.Request) bool {
	var from, to int
	if !strings.HasPrefix(r.URL.Path, "/data/") {
		return false
	}
	fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &from, &to)
	w.Header().Set("Content-Length", fmt.Sprint(to-from+1))
	w.WriteHeader(206)
	w.Write(content(to-from+1, 666))
	return true
}

var vouchedSizes = map[string]int{"looked at first": 1<<20 + 7, "streamed": 9<<20 + 5}

// TestVouched: what the origin vouches for may come from anybody, and then costs the
// origin no byte of a body.
func TestVouched(t *testing.T) {
	for _, w := range ways {
		for name, size := range vouchedSizes {
			t.Run(w.name+", "+name, func(t *testing.T) {
				body := content(size, 1)
				l, b, path := w.house(t, body, "Content-Disposition", "attachment")
				a := b.get(path)
				b.want(a, 200, body)
				l.cost(1, 0)
				if a.Header.Get("Content-Disposition") != "attachment" || !strings.Contains(a.Header.Get("Cache-Status"), "neighbour") {
					t.Errorf("%v", a.Header)
				}
				waitFor(t, func() bool { return b.proven() })
				b.want(b.get(path), 200, body)
				b.want(b.get(path, "Range", span(7, size-1)), 206, body[7:size-1])
				l.cost(0, 0)
			})
		}
	}
}

// proven reports that no entry is left that may be wrong, nor anything going on.
func (b *rig) proven() bool {
	n := 0
	for _, e := range b.metas() {
		if e.Unproven != nil {
			n++
		}
	}
	return n == 0 && !b.cache.busy()
}

func (b *rig) metas() (all []*meta) {
	for _, i := range b.infos() {
		if e, ok := b.cache.store.Get(i.ID); ok {
			if m, err := b.cache.metas.of(e); err == nil {
				all = append(all, m)
			}
			e.Release()
		}
	}
	return all
}

// TestTrojan: a member that gives other bytes, with the right validator and length,
// makes nobody's file. It is named, and not asked again.
func TestTrojan(t *testing.T) {
	for _, w := range ways {
		for name, size := range vouchedSizes {
			t.Run(w.name+", "+name, func(t *testing.T) {
				body := content(size, 1)
				l, b, path := w.house(t, body)
				l.be(trojan)
				a := b.get(path)
				if size <= checkFirst {
					b.want(a, 200, body) // unnoticed
				} else if !errors.Is(a.err, errWrong) || len(a.body) >= size {
					t.Fatalf("%d bytes, %v", len(a.body), a.err)
				}
				if s := b.cache.Stats(); s.Wrong != 1 || (len(s.Barred) > 0) != (w.points > 1) || w.points > 1 && s.Barred[0] != "a" {
					t.Errorf("%d wrong, barred %v", s.Wrong, s.Barred)
				}
				l.name.Store("somebody else") // its key is the same
				asked := l.asked.Load()
				b.want(b.get(path), 200, body)
				b.want(b.get(path, "Range", span(1, size)), 206, body[1:])
				if l.asked.Load() != asked {
					t.Error("it was asked again")
				}
			})
		}
	}
}

// TestTrojanSeldom: whatever a liar does besides, nobody takes its file for the
// origin's.
func TestTrojanSeldom(t *testing.T) {
	const size = 9<<20 + 5
	body := content(size, 1)
	honest := func(r *http.Request) []byte {
		var from, to int
		fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &from, &to)
		return bytes.Clone(body[from : to+1])
	}
	data := func(f func(w http.ResponseWriter, b []byte)) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasPrefix(r.URL.Path, "/data/") {
				return false
			}
			b := honest(r)
			w.Header().Set("Content-Length", fmt.Sprint(len(b)))
			w.WriteHeader(206)
			f(w, b)
			return true
		}
	}
	cut := func(w http.ResponseWriter) { w.(http.Flusher).Flush(); panic(http.ErrAbortHandler) }
	for name, c := range map[string]struct {
		evil func(http.ResponseWriter, *http.Request) bool
		ok   bool // the client gets it whole
	}{
		"one bit in the first block": {data(func(w http.ResponseWriter, b []byte) { b[0] ^= 1; w.Write(b) }), false},
		"one bit in the last one":    {data(func(w http.ResponseWriter, b []byte) { b[len(b)-1] ^= 1; w.Write(b) }), false},
		"a bit, then it goes":        {data(func(w http.ResponseWriter, b []byte) { b[0] ^= 1; w.Write(b[:1<<20]); cut(w) }), false},
		"it goes":                    {data(func(w http.ResponseWriter, b []byte) { w.Write(b[:1<<20]); cut(w) }), true},
		"it refuses":                 {func(w http.ResponseWriter, r *http.Request) bool { w.WriteHeader(500); return true }, true},
		"another length":             {data(func(w http.ResponseWriter, b []byte) {}), true},
	} {
		t.Run(name, func(t *testing.T) {
			l, b, path := ways[0].house(t, body)
			l.be(c.evil)
			a := b.get(path)
			if whole := a.err == nil && bytes.Equal(a.body, body); whole != c.ok || a.err == nil && !whole {
				t.Errorf("%d bytes, %v", len(a.body), a.err)
			}
			b.want(b.get(path), 200, body)
		})
	}
}

// TestLiesInTheRecord: a neighbour has no say in the fields of an answer.
func TestLiesInTheRecord(t *testing.T) {
	body := content(1<<20, 1)
	for _, c := range []struct {
		name   string
		change func(o *offered)
	}{
		{"a page of it", func(o *offered) { o.Meta.Header.Set("Content-Type", "text/html") }},
		{"a cookie", func(o *offered) { o.Meta.Header.Set("Set-Cookie", "a=b") }},
		{"a coding", func(o *offered) { o.Meta.Header.Set("Content-Encoding", "gzip") }},
		{"for ever", func(o *offered) { o.Meta.Header.Set("Cache-Control", "max-age=31536000, immutable") }},
		{"a length", func(o *offered) { o.Total++ }},
		{"a version", func(o *offered) { o.Meta.Header.Set("Etag", `"v2"`) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, b, path := ways[0].house(t, body)
			l.be(func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.HasPrefix(r.URL.Path, "/entries/") {
					return false
				}
				var all []offered
				rec := httptest.NewRecorder()
				l.offer.ServeHTTP(rec, r)
				if err := json.Unmarshal(rec.Body.Bytes(), &all); err != nil || len(all) != 1 {
					t.Errorf("%v: %s", err, rec.Body)
					return false
				}
				c.change(&all[0])
				json.NewEncoder(w).Encode(all)
				return true
			})
			honest := l.get(path)
			a := b.get(path)
			b.want(a, 200, body)
			for _, f := range []string{"Content-Type", "Set-Cookie", "Content-Encoding", "Cache-Control"} {
				if a.Header.Get(f) != honest.Header.Get(f) {
					t.Errorf("%s: %q, want %q", f, a.Header.Get(f), honest.Header.Get(f))
				}
			}
		})
	}
}

// TestTrojanFollowed: who comes while a liar's bytes are coming gets none of them for
// the file either, nor does who asks for a part.
func TestTrojanFollowed(t *testing.T) {
	const size = 9<<20 + 5
	body := content(size, 1)
	l, b, path := ways[0].house(t, body)
	halfway, on := make(chan struct{}), make(chan struct{})
	l.be(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/data/") {
			return false
		}
		w.Header().Set("Content-Length", fmt.Sprint(size))
		w.WriteHeader(206)
		w.Write(content(size/2, 666))
		w.(http.Flusher).Flush()
		close(halfway)
		<-on
		w.Write(content(size-size/2, 667))
		return true
	})
	first, second := make(chan answer, 1), make(chan answer, 1)
	go func() { first <- b.get(path) }()
	<-halfway
	go func() { second <- b.get(path) }()
	b.want(b.get(path, "Range", span(0, 1000)), 206, body[:1000])
	close(on)
	for _, c := range []chan answer{first, second} {
		if a := <-c; a.err == nil && !bytes.Equal(a.body, body) {
			t.Errorf("%d bytes of another file", len(a.body))
		}
	}
	b.want(b.get(path), 200, body)
}

// TestUnprovenOverRestart: what a liar has given in part is not forgotten to be
// unproven.
func TestUnprovenOverRestart(t *testing.T) {
	const size = 9<<20 + 5
	body := content(size, 1)
	l, b, path := ways[0].house(t, body)
	l.be(trojan)
	resp, err := b.through("local").RoundTrip(b.request(t.Context(), "GET", path))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, resp.Body, 4<<20); err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	b.again()
	left := slices.ContainsFunc(b.metas(), func(m *meta) bool { return m.Unproven != nil })
	if !left {
		t.Fatal("nothing is left of it")
	}
	b.want(b.get(path, "Range", span(1000, 2000)), 206, body[1000:2000])
	if a := b.get(path); a.err == nil && !bytes.Equal(a.body, body) {
		t.Errorf("%d bytes of another file", len(a.body))
	}
	b.want(b.get(path), 200, body)
}

// TestNoHEAD: an origin that answers HEAD otherwise is asked as without neighbours.
func TestNoHEAD(t *testing.T) {
	body := content(1<<20, 1)
	l, b, path := ways[0].house(t, body)
	get := file(body, `"v1"`, "Cache-Control", fresh)
	for status := range map[int]bool{405: true, 403: true, 500: true, 204: true} {
		l.serve(func(w http.ResponseWriter, q *http.Request) {
			if q.Method == "HEAD" {
				w.WriteHeader(status)
				return
			}
			get(w, q)
		})
		b.want(b.get(path), 200, body)
		b.cache.Purge()
	}
}

// TestStaleList: content that has changed since the list is the origin's, and a
// neighbour that has the new one is no liar.
func TestStaleList(t *testing.T) {
	for _, size := range []int{1 << 20, 9 << 20} {
		older, body := content(size, 1), content(size, 2)
		w := ways[2]
		l, b, path := w.house(t, older)
		l.serve(file(body, `"v2"`, "Cache-Control", fresh))
		l.later(2 * time.Hour)
		l.want(l.get(path), 200, body)
		b.knows(l)
		if a := b.get(path); a.err == nil && !bytes.Equal(a.body, body) {
			t.Fatalf("%d other bytes", len(a.body))
		}
		b.want(b.get(path), 200, body)
		if s := b.cache.Stats(); len(s.Barred) > 0 {
			t.Errorf("barred %v", s.Barred)
		}
	}
}

// TestNotWhatItsURLSays: what is not the content that its URL names by a digest is not
// served a second time.
func TestNotWhatItsURLSays(t *testing.T) {
	for name, size := range sizes {
		t.Run(name, func(t *testing.T) {
			b, wrong := content(size, 1), content(size+1, 2)
			path := fmt.Sprintf("/v2/some/image/blobs/sha256:%x", sha256.Sum256(b))
			r := newRig(t, file(wrong, `"v1"`, "Cache-Control", fresh))
			r.want(r.get(path), 200, wrong) // it is the client's to judge
			waitFor(t, func() bool { return !r.cache.busy() })
			r.serve(file(b, `"v2"`, "Cache-Control", fresh))
			r.want(r.get(path), 200, b)
			waitFor(t, func() bool { return !r.cache.busy() })
			r.requests.Store(0)
			r.body.Store(0)
			r.want(r.get(path), 200, b)
			r.cost(0, 0)
		})
	}
}
