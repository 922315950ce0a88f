package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"dtpx/cache/internal/rules"
	ranges "dtpx/range"
)

// carrier makes r's engine fetch by a peer as well, which has a way of its own to a
// server that answers as the origin does, or otherwise. It may carry what cluster
// allows it to.
func (r *rig) carrier(h http.HandlerFunc) (carried *atomic.Int64) {
	carried = new(atomic.Int64)
	there := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		h(&counted{ResponseWriter: w, n: carried}, q)
	}))
	r.t.Cleanup(there.Close)
	base := &http.Transport{DisableCompression: true}
	peer := ranges.NewDialer(base, ranges.KindPeer, "p", func(ctx context.Context, _ ranges.Target) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", there.Listener.Addr().String())
	})
	r.engine.Sources = func(t ranges.Target) []ranges.Source {
		if t.URL.Scheme != "https" && !t.Vouched {
			return nil
		}
		return []ranges.Source{peer}
	}
	return carried
}

// slow gives the body at some MB/s, so that others may help.
func slow(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, q *http.Request) {
		h(&paced{ResponseWriter: w, done: q.Context().Done()}, q)
	}
}

type paced struct {
	http.ResponseWriter
	done <-chan struct{}
}

func (p *paced) Write(b []byte) (n int, err error) {
	for len(b) > 0 && err == nil {
		k := min(len(b), 64<<10)
		var m int
		m, err = p.ResponseWriter.Write(b[:k])
		n, b = n+m, b[k:]
		t := time.NewTimer(5 * time.Millisecond) // a shaped link, not a wait
		select {
		case <-t.C:
		case <-p.done:
			return n, io.ErrClosedPipe
		}
	}
	return n, err
}

// alone is a member of a group in which nobody has anything cached.
func alone(t *testing.T, h http.HandlerFunc) *rig {
	r := newRig(t, h)
	r.engine.Connections = 1
	r.cache.Ask(func() []Neighbour { return []Neighbour{{ID: "p", Name: "p", Via: refusing{}}} })
	return r
}

type refusing struct{}

func (refusing) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New("refused") }

// TestCarried: plain http goes over members where the origin vouches for the body.
func TestCarried(t *testing.T) {
	const size = 12 << 20
	body := content(size, 1)
	h := slow(file(body, `"v1"`, "Cache-Control", fresh))
	r := alone(t, h)
	carried := r.carrier(h)
	path := "/debian/dists/s/main/by-hash/SHA256/" + hexOf(body)
	r.want(r.get(path), 200, body)
	if carried.Load() < size/8 {
		t.Errorf("the member has carried %d bytes", carried.Load())
	}
	waitFor(t, r.proven)
	r.anew()
	r.want(r.get(path, "Range", span(5, size-5)), 206, body[5:size-5])
	if n := r.requests.Load(); n > 0 {
		t.Errorf("the origin was asked %d times for what is kept", n)
	}
}

// anew begins to count anew.
func (r *rig) anew() { r.requests.Store(0); r.body.Store(0) }

// TestNotCarried: without a digest, or where there may be a coding, members see
// nothing of plain http.
func TestNotCarried(t *testing.T) {
	body := content(5<<20, 1)
	for name, c := range map[string]struct{ path, field, value string }{
		"no digest": {"/f", "X", "y"}, "a coding": {"/dists/by-hash/SHA256/" + hexOf(body), "Accept-Encoding", "gzip"},
		"a password": {"/dists/by-hash/SHA256/" + hexOf(body), "Authorization", "Basic eDp5"},
		"a part":     {"/dists/by-hash/SHA256/" + hexOf(body), "Range", fmt.Sprintf("bytes=0-%d", len(body)-1)},
	} {
		h := slow(file(body, `"v1"`, "Cache-Control", fresh))
		r := alone(t, h)
		carried := r.carrier(h)
		if a := r.get(c.path, c.field, c.value); a.err != nil || !bytes.Equal(a.body, body) || carried.Load() > 0 {
			t.Errorf("%s: %d bytes, %v; carried %d", name, len(a.body), a.err, carried.Load())
		}
	}
}

// TestCarriedWrong: a member that alters plain http makes nobody's file, and no more
// of it is carried.
func TestCarriedWrong(t *testing.T) {
	const size = 12 << 20
	body, evil := content(size, 1), content(size, 666)
	r := alone(t, slow(file(body, `"v1"`, "Cache-Control", fresh)))
	carried := r.carrier(slow(file(evil, `"v1"`, "Cache-Control", fresh)))
	path := "/debian/dists/s/main/by-hash/SHA256/" + hexOf(body)
	if a := r.get(path); !errors.Is(a.err, errWrong) || len(a.body) >= size {
		t.Fatalf("%d bytes, %v", len(a.body), a.err)
	}
	if carried.Swap(0) == 0 {
		t.Fatal("nothing was carried")
	}
	r.want(r.get(path), 200, body)
	if n := carried.Load(); n > 0 || r.cache.Stats().Wrong != 1 {
		t.Errorf("%d bytes were carried afterwards, %d wrong", n, r.cache.Stats().Wrong)
	}
}

// TestCarriedWrongJoined: who comes while an altered body is coming, for a part of it
// or for all, gets none of it for the origin's.
func TestCarriedWrongJoined(t *testing.T) {
	const size = 12 << 20
	body, evil := content(size, 1), content(size, 666)
	r := alone(t, slow(file(body, `"v1"`, "Cache-Control", fresh)))
	carried := r.carrier(slow(file(evil, `"v1"`, "Cache-Control", fresh)))
	path := "/debian/dists/s/main/by-hash/SHA256/" + hexOf(body)
	first, second, part := make(chan answer, 1), make(chan answer, 1), make(chan answer, 1)
	go func() { first <- r.get(path) }()
	waitFor(t, func() bool { return carried.Load() > 0 })
	go func() { second <- r.get(path) }()
	go func() { part <- r.get(path, "Range", span(size/2, size)) }()
	if a := <-part; a.err == nil && !bytes.Equal(a.body, body[size/2:]) {
		t.Errorf("%d altered bytes of a part", len(a.body))
	}
	for _, c := range []chan answer{first, second} {
		if a := <-c; a.err == nil && !bytes.Equal(a.body, body) {
			t.Errorf("%d altered bytes", len(a.body))
		}
	}
	r.want(r.get(path), 200, body)
}

// TestOutdatedDigest: what only the origin has sent is right whatever a list says.
func TestOutdatedDigest(t *testing.T) {
	body := content(9<<20, 1)
	r := alone(t, file(body, `"v1"`, "Cache-Control", fresh))
	const path = "/debian/pool/f.deb"
	r.cache.digests.Say(r.origin.URL+path, rules.Digest{Algo: rules.SHA256, Hex: hexOf(body[1:])})
	r.want(r.get(path), 200, body)
	waitFor(t, r.proven)
	r.anew()
	r.want(r.get(path), 200, body)
	if n := r.requests.Load(); n > 0 {
		t.Errorf("it was not kept: the origin was asked %d times", n)
	}
}
