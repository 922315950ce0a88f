package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// clock is a clock by hand.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

const hour = time.Hour

func TestValueOrder(t *testing.T) {
	type thing struct {
		name      string
		stored    int64
		cost      float32
		placement float64
		used      []time.Duration // ago
	}
	usual := func(name string, used ...time.Duration) thing { return thing{name, 1 << 20, 1, 1, used} }
	for _, c := range []struct {
		why          string
		worth, worse thing
	}{
		{"recency", usual("young", hour), usual("old", 2*hour)},
		{"frequency", usual("twice", 2*hour, hour), usual("once", hour)},
		{"a use in a day is half a use", usual("twice yesterday", 24*hour, 24*hour, 24*hour), usual("today", 0)},
		{"frequency fades", usual("today", 0), usual("often last month", 720*hour, 721*hour, 722*hour, 723*hour)},
		{"often last night", usual("often", 12*hour, 12*hour, 12*hour), usual("just now", 0)},
		{"cost", thing{"dear", 1 << 20, 5, 1, []time.Duration{24 * hour}}, usual("cheap", 0)},
		{"small ones cost a request, too", thing{"small", 4096, 1, 1, []time.Duration{48 * hour}}, usual("large", 0)},
		{"and are not for ever", usual("large", 0), thing{"small", 4096, 1, 1, []time.Duration{240 * hour}}},
		{"large ones are alike", usual("young", hour), thing{"larger", 1 << 40, 1, 1, []time.Duration{2 * hour}}},
		{"placement", thing{"ours", 1 << 20, 1, 2, []time.Duration{20 * hour}}, usual("theirs", 0)},
		{"used", usual("once", 1000*hour), thing{"never", 1 << 20, 1, 1, nil}},
	} {
		now := newClock().now()
		value := func(x thing) float64 {
			it := &item{stored: x.stored, cost: x.cost, heat: coldest}
			slices.SortFunc(x.used, func(a, b time.Duration) int { return int(b - a) })
			for _, ago := range x.used {
				it.use(now.Add(-ago))
			}
			return it.value(x.placement)
		}
		if a, b := value(c.worth), value(c.worse); a <= b {
			t.Errorf("%s: %s %.3f, %s %.3f", c.why, c.worth.name, a, c.worse.name, b)
		}
	}
}

// A clock that was wrong by years makes nothing immortal.
func TestUsesInTheFutureAreTakenBack(t *testing.T) {
	now := newClock().now()
	it := &item{stored: 1, cost: 1, heat: coldest}
	it.use(now.AddDate(50, 0, 0))
	it.sane(now)
	other := &item{stored: 1, cost: 1, heat: coldest}
	for range 3 {
		other.use(now)
	}
	if it.value(1) >= other.value(1) || it.used > seconds(now) {
		t.Error("it is worth more than what was used thrice")
	}
}

// The cheapest are selected, no more of them than are needed.
func TestBargain(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 2000 {
		var all []priced
		for n := range rnd.IntN(12) {
			all = append(all, priced{&item{id: ID{byte(n)}, stored: 1 + rnd.Int64N(50)}, float64(rnd.IntN(6))})
		}
		b := bargain{need: rnd.Int64N(200) - 20, count: rnd.Int64N(3)}
		for _, p := range all {
			b.offer(p)
		}
		slices.SortFunc(all, cheaper)
		var want []*item
		for sum := int64(0); len(want) < len(all) && (sum < b.need || int64(len(want)) < b.count); {
			sum += all[len(want)].stored
			want = append(want, all[len(want)].item)
		}
		if got := b.items(); !slices.Equal(got, want) {
			t.Fatalf("need %d and %d of %v: %v, want %v", b.need, b.count, all, got, want)
		}
	}
}

// The order in which a store evicts, by what is in it and what comes.
func TestEvictionOrder(t *testing.T) {
	const n = 40 * testBlock // 10 KiB, and the header
	for name, c := range map[string]struct {
		do    func(s *Store, k *clock, e map[string]*Entry)
		evict string // in this order, while three more come
	}{
		"oldest first":  {func(*Store, *clock, map[string]*Entry) {}, "abc"},
		"used are kept": {func(_ *Store, k *clock, e map[string]*Entry) { e["b"].Use(); e["a"].Use() }, "cab"},
		"dear are kept": {func(_ *Store, k *clock, e map[string]*Entry) { e["a"].SetCost(10) }, "bca"},
		"placed elsewhere": {func(_ *Store, k *clock, e map[string]*Entry) {
			e["b"].Use() // not enough against the placement of c
			e["a"].Use()
			e["a"].Use()
		}, "bac"},
	} {
		k, o := newClock(), small()
		o.FS, o.Now = newMortal(1).mount, k.now
		o.Size = 3 * (n + headerSize + 2048)
		if name == "placed elsewhere" {
			o.Placement = func(key Key) float64 {
				if key == keyOf("c") {
					return 1
				}
				return 0.1
			}
		}
		s := openStore(t, "sim", o)
		all := map[string]*Entry{}
		for _, name := range []string{"a", "b", "c"} {
			id := put(t, s, keyOf(name), 1, n)
			all[name], _ = s.Get(id)
			k.pass(hour)
		}
		c.do(s, k, all)
		for _, e := range all {
			e.Release()
		}
		evicted := ""
		for i := range 3 {
			k.pass(hour)
			e, _ := s.Get(put(t, s, keyOf(fmt.Sprint("new", i)), 1, n))
			e.SetCost(100) // they are not what this is about
			e.Release()
			for _, name := range []string{"a", "b", "c"} {
				if es := s.Lookup(keyOf(name)); len(es) > 0 {
					es[0].Release()
				} else if !strings.Contains(evicted, name) {
					evicted += name
				}
			}
		}
		if evicted != c.evict {
			t.Errorf("%s: %q, want %q", name, evicted, c.evict)
		}
		s.Close()
	}
}

func keyOf(name string) (k Key) { copy(k[:], name); return k }

// Those in use go last, only for what is worth more, and their readers read on.
func TestEntriesInUse(t *testing.T) {
	k, o := newClock(), small()
	o.FS, o.Now, o.Size = newMortal(1).mount, k.now, 20<<10
	s := openStore(t, "sim", o)
	const n = 40 * testBlock
	used := get(t, s, put(t, s, key(1), 1, n))
	k.pass(-48 * hour)
	poor, err := s.Create(key(2), nil, n)
	if err != nil {
		t.Fatal(err)
	}
	fill(poor, content(1, n), 0)
	flush(t, s)
	if st := s.Stats(); st.Refused == 0 || st.Evicted != 0 || used.Removed() {
		t.Errorf("for what is worth less: %+v", st)
	}
	poor.Release()
	k.pass(96 * hour)
	rich := get(t, s, put(t, s, key(3), 1, n))
	if st := s.Stats(); !used.Removed() || !rich.Complete() || st.Bytes > st.Size {
		t.Errorf("for what is worth more: %+v", st)
	}
	wantContent(t, used, content(1, n))
	huge, err := s.Create(key(4), nil, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	fill(huge, content(1, 1<<20), 0)
	flush(t, s)
	if st := s.Stats(); st.Bytes > st.Size || st.Refused == 0 || st.Off != "" {
		t.Errorf("larger than the budget: %+v", st)
	}
	huge.Release()
}

// Whatever is put in, the budget is kept, and its sum is that of the files.
func TestTheBudgetIsKept(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	m, o := newMortal(1), small()
	o.FS, o.Size = m.mount, 80<<10
	s := openStore(t, "sim", o)
	for range 300 {
		put(t, s, key(rnd.Uint64N(50)), rnd.Uint64N(9), rnd.IntN(20000))
		if rnd.IntN(5) == 0 {
			for _, e := range s.Lookup(key(rnd.Uint64N(50))) {
				e.Use()
				_ = e.SetMeta(make([]byte, rnd.IntN(3000)))
				e.Release()
			}
			flush(t, s)
		}
		wantSum(t, s)
	}
	if s.Stats().Evicted == 0 {
		t.Error("nothing was evicted")
	}
	st := s.Stats()
	s.Close()
	s = openStore(t, "sim", o)
	s.awaitScan()
	for _, i := range s.on().infos() {
		get(t, s, i.ID) // corrects what the index says
	}
	if again := s.Stats(); again.Bytes != st.Bytes || again.Entries != st.Entries {
		t.Errorf("%+v, then %+v", st, again)
	}
}

func wantSum(t *testing.T, s *Store) {
	t.Helper()
	st, sum, n := s.Stats(), int64(0), 0
	s.Entries(func(i Info) bool { sum += i.Stored; n++; return true })
	if st.Bytes > st.Size || sum != st.Bytes || n != st.Entries || st.Memory != 0 {
		t.Fatalf("sum %d of %d: %+v", sum, n, st)
	}
}

// A smaller budget, or files that nobody knew, are trimmed.
func TestASmallerBudget(t *testing.T) {
	o := small()
	o.FS = newMortal(1).mount
	s := openStore(t, "sim", o)
	for n := range uint64(20) {
		put(t, s, key(n), 1, 10000)
	}
	s.Close()
	o.Size = 64 << 10
	s = openStore(t, "sim", o)
	s.awaitScan()
	wantSum(t, s)
	if st := s.Stats(); st.Entries == 0 || st.Evicted == 0 {
		t.Errorf("%+v", st)
	}
}

// A file that the system keeps while it is open is removed later, and does not
// come back.
func TestAFileThatCannotBeRemovedYet(t *testing.T) {
	m, o := newMortal(1), small()
	o.FS = m.mount
	s := openStore(t, "sim", o)
	id := put(t, s, key(1), 1, 1000)
	if errHeld != nil {
		m.set(on("remove", "/", errHeld))
	}
	s.Remove(id)
	flush(t, s)
	if _, off := s.Off(); off {
		t.Error("off")
	}
	m.set(nil)
	s.on().settle()
	flush(t, s)
	d, _ := m.mount("")
	if _, err := d.Open(id.name(), 0); !errors.Is(err, fs.ErrNotExist) {
		t.Error("still there:", err)
	}
}
