package ranges_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dtpx/internal/testbed"
	ranges "dtpx/range"
)

var (
	seeds = flag.Int("seeds", 3000, "iterations of TestProperty")
	seed  = flag.Int64("seed", -1, "only this one")
)

// TestProperty: whatever sources do, every reader gets exactly the bytes of its
// range, in order, or an error; and nothing hangs. Blocks are 256 bytes and
// slices 1 KiB, so that each of them has all the edges of a large download.
func TestProperty(t *testing.T) {
	t.Parallel()
	var sum tally
	if *seed >= 0 {
		playRogue(t, uint64(*seed), &sum)
		return
	}
	if sample {
		*seeds /= 10
	}
	for s := range uint64(*seeds) {
		if playRogue(t, s, &sum); t.Failed() {
			t.Fatalf("again: go test ./range -run TestProperty -seed %d", s)
		}
	}
	t.Logf("%+v", sum)
	if sum.whole < sum.cut || sum.split == 0 || sum.joined == 0 {
		t.Errorf("too little came through to mean anything: %+v", sum)
	}
}

type tally struct{ whole, cut, left, split, joined int }

func playRogue(t *testing.T, seed uint64, sum *tally) {
	synctest.Test(t, func(t *testing.T) {
		g := newGame(t, seed)
		defer g.close()
		var wg sync.WaitGroup
		g.readers = 1 + g.rng.IntN(4)
		for i := range g.readers {
			who := reader{g: g, name: fmt.Sprint("reader ", i), rng: rand.New(rand.NewPCG(seed, uint64(i)))}
			wg.Go(func() { who.run(sum) })
		}
		wg.Wait()
		if limit := g.engine.Window + 2*256; g.readers == 1 && g.most.Load() > limit {
			t.Errorf("seed %d: the store held %d, window %d", seed, g.most.Load(), g.engine.Window)
		}
		for _, d := range g.engine.Downloads() {
			if len(d.Sources) > 0 && d.Sources[0].Requests > 1 {
				sum.split++
			}
			sum.joined += max(0, d.Readers-1)
			if d.State == "running" {
				t.Errorf("seed %d: a download runs without readers: %+v", seed, d)
			}
		}
	})
}

// game is one iteration: an origin, sources, an engine.
type game struct {
	t       *testing.T
	seed    uint64
	rng     *rand.Rand
	content []byte
	engine  *ranges.Engine
	client  *http.Client
	close   func()
	mu      sync.Mutex // of the tally
	readers int
	most    atomic.Int64 // that a store held at a time, in whole blocks
}

func newGame(t *testing.T, seed uint64) *game {
	rng := rand.New(rand.NewPCG(seed, 0))
	g := &game{t: t, seed: seed, rng: rng, content: make([]byte, 2<<10+rng.IntN(60<<10))}
	for i := range g.content {
		g.content[i] = byte(rng.Uint32())
	}
	cache := []string{"private", "public, max-age=600", ""}[rng.IntN(3)]
	spoilt := []int{0, 10, 30, 80}[rng.IntN(4)]
	o := &rogue{content: g.content, rng: rng, cache: cache, spoilt: spoilt}
	network := testbed.NewMemNet()
	network.Link("", "").Set(testbed.Shape{Delay: time.Duration(rng.IntN(40)) * time.Millisecond})
	ln, err := network.Listen("tcp", "192.0.2.1:80")
	if err != nil {
		t.Fatal(err)
	}
	// A server that has read the next request on a connection no longer notices
	// that this has gone: what its handlers wait for ends with the game.
	living, die := context.WithCancel(context.Background())
	server := &http.Server{Handler: o, BaseContext: func(net.Listener) context.Context { return living }}
	go server.Serve(&limited{Listener: ln, max: rng.IntN(4) * rng.IntN(4)})
	others := rng.IntN(4)
	g.engine = (&ranges.Engine{
		MinSize: 1, Window: int64(2<<10 + rng.IntN(32<<10)), Connections: 1 + rng.IntN(8),
		Sources: func(ranges.Target) (s []ranges.Source) {
			for i := range others {
				s = append(s, source{o, fmt.Sprint("peer ", i)})
			}
			return s
		},
	}).Small()
	g.engine.NewStore = func() ranges.Store { return &heldStore{Store: ranges.NewMemStore(256), g: g} }
	base := &http.Transport{DialContext: network.Dial, DisableCompression: true}
	g.client = &http.Client{Transport: &ranges.Transport{Base: base, Engine: g.engine}}
	g.close = func() {
		g.engine.Close()
		base.CloseIdleConnections()
		server.Close()
		die()
	}
	return g
}

// limited hangs up on connections above a number.
type limited struct {
	net.Listener
	mu  sync.Mutex
	max int // 0 = any number
	n   int
}

func (l *limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		l.mu.Lock()
		ok := l.max == 0 || l.n < l.max
		if ok {
			l.n++
		}
		l.mu.Unlock()
		if ok {
			return &limitedConn{Conn: c, l: l}, nil
		}
		c.Close()
	}
}

type limitedConn struct {
	net.Conn
	l    *limited
	once sync.Once
}

func (c *limitedConn) Close() error {
	c.once.Do(func() {
		c.l.mu.Lock()
		c.l.n--
		c.l.mu.Unlock()
	})
	return c.Conn.Close()
}

// heldStore checks that nothing is written twice or read before it is there.
type heldStore struct {
	ranges.Store
	g    *game
	have ranges.Set
}

func (h *heldStore) WriteAt(p []byte, off int64) (int, error) {
	r := ranges.Range{Start: off, End: off + int64(len(p))}
	if h.have.SizeWithin(r) > 0 {
		return 0, errors.New("stored twice")
	}
	h.have.Add(r)
	var blocks ranges.Set
	for _, s := range h.have.Ranges() {
		blocks.Add(ranges.Range{Start: s.Start / 256 * 256, End: (s.End + 255) / 256 * 256})
	}
	if n := blocks.Size(); n > h.g.most.Load() { // the download's lock is held
		h.g.most.Store(n)
	}
	return h.Store.WriteAt(p, off)
}

func (h *heldStore) Drop(r ranges.Range) {
	h.have.Remove(r)
	h.Store.Drop(r)
}

// reader is one client.
type reader struct {
	g    *game
	name string
	rng  *rand.Rand
}

// patience is far beyond what any recovery takes.
const patience = 30 * time.Minute

func (r reader) run(sum *tally) {
	g := r.g
	time.Sleep(time.Duration(r.rng.IntN(1500)) * time.Millisecond)
	ctx, cancel := context.WithTimeout(g.t.Context(), patience)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, "GET", "http://192.0.2.1/file", nil)
	size := len(g.content)
	want := g.content
	if r.rng.IntN(3) == 0 {
		from := r.rng.IntN(size)
		to := from + 1 + r.rng.IntN(size-from)
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", from, to-1))
		want = g.content[from:to]
	}
	resp, err := g.client.Do(req)
	if err != nil {
		r.noHang(ctx, err)
		return
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == 200:
		want = g.content
	case resp.StatusCode != 206:
		return
	case resp.Header.Get("Etag") != rogueTag || resp.Header.Get("Content-Encoding") != "":
		return
	}
	if resp.Header.Get("Etag") != rogueTag || resp.Header.Get("Content-Encoding") != "" || resp.StatusCode == 206 && len(want) != int(resp.ContentLength) {
		return // the origin's own answer to this client, spoilt from the start
	}
	got, err := r.read(resp.Body)
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case !bytes.HasPrefix(want, got):
		g.t.Errorf("seed %d, %s: wrong bytes: %d read of %d from %s, %v", g.seed, r.name, len(got), len(want), req.Header.Get("Range"), resp)
	case err == nil && len(got) < len(want):
		g.t.Errorf("seed %d, %s: %d of %d bytes and a clean end", g.seed, r.name, len(got), len(want))
	case err == nil:
		sum.whole++
	case errors.Is(err, errLeft):
		sum.left++
	default:
		sum.cut++
		r.noHang(ctx, err)
	}
}

func (r reader) noHang(ctx context.Context, err error) {
	if ctx.Err() != nil {
		r.g.t.Errorf("seed %d, %s hung: %v\n%v", r.g.seed, r.name, err, r.g.engine.Plans())
	}
	if err != nil && err.Error() == "stored twice" {
		r.g.t.Errorf("seed %d: %v", r.g.seed, err)
	}
}

var errLeft = errors.New("left")

// read takes the body in pieces with pauses; some clients leave, some sleep.
func (r reader) read(body io.Reader) (got []byte, err error) {
	leave := -1
	if r.rng.IntN(4) == 0 {
		leave = r.rng.IntN(len(r.g.content))
	}
	asleep := r.rng.IntN(len(r.g.content) * 3)
	slow := r.rng.IntN(3) == 0
	buf := make([]byte, 1+r.rng.IntN(5000))
	for {
		n, err := body.Read(buf[:1+r.rng.IntN(len(buf))])
		got = append(got, buf[:n]...)
		switch {
		case err == io.EOF:
			return got, nil
		case err != nil:
			return got, err
		case leave >= 0 && len(got) > leave:
			return got, errLeft
		case len(got) > asleep:
			time.Sleep(time.Minute)
			asleep = len(got) * 2
		case slow:
			time.Sleep(time.Duration(r.rng.IntN(200)) * time.Millisecond)
		}
	}
}
