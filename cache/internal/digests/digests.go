// Package digests remembers what origins say of the content of URLs: the lists of
// hashes that pass by, each with the part of the web that it may speak for.
//
//	Reader.Of     is this response such a list, and for what may it speak?   kind.go
//	Reader.Read   its statements                        apt.go sums.go packages.go
//	Table.Learn   keeps them, on disk, a file for each list                  file.go
//	Table.Lookup  what is said of one URL
//
// A list speaks for what lies beside and below it on its own host, and with the
// scheme that it came by: whoever could change it could have changed that as well.
// It is believed for some days after the origin has last sent or confirmed it.
package digests

import (
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"dtpx/cache/internal/rules"
)

// Bounds of a Table.
const (
	believed   = 48 * time.Hour // after a list was seen
	mostLists  = 1024
	mostBytes  = 64 << 20 // of files
	mostSingle = 4096     // statements that came with answers; in memory only
)

// Table is what is known. It is safe for concurrent use.
type Table struct {
	dir string
	now func() time.Time

	mu     sync.Mutex // guards what follows
	lists  []*list
	single map[sum]single
	doubt  map[sum]time.Time // contradicted
}

type single struct {
	d  rules.Digest // zero: a host that gives digests
	at time.Time
}

// sum names a key.
type sum [16]byte

func sumOf(id string) (s sum) {
	h := sha256.Sum256([]byte(id))
	copy(s[:], h[:])
	return s
}

// Open reads what an earlier Table has left in dir, which it makes when it has
// something to keep. What cannot be read is forgotten.
func Open(dir string, now func() time.Time) *Table {
	t := &Table{dir: dir, now: now, single: map[sum]single{}, doubt: map[sum]time.Time{}}
	files, _ := os.ReadDir(dir)
	for _, f := range files {
		path := filepath.Join(dir, f.Name())
		if l, err := openList(path); err == nil {
			t.lists = append(t.lists, l)
		} else if strings.HasSuffix(f.Name(), suffix) || strings.HasSuffix(f.Name(), suffix+".new") {
			os.Remove(path)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.boundLocked()
	return t
}

// Learn keeps the statements of a list in place of those it made before. doc and
// base are keys as rules.KeyOf makes them: of the list, and the beginning of those
// it may speak for. Others are left out.
func (t *Table) Learn(doc, base string, all []Statement) error {
	l := &list{header: header{Doc: doc, Base: base, Seen: t.now()}, path: filepath.Join(t.dir, nameOf(doc))}
	all = slices.DeleteFunc(slices.Clone(all), func(s Statement) bool { return !strings.HasPrefix(s.ID, base) })
	if len(all) == 0 {
		return errors.New("the list says nothing of what it may speak for")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := l.write(all); err != nil {
		return err
	}
	t.lists = slices.DeleteFunc(t.lists, func(o *list) bool { return o.Doc == doc })
	t.lists = append(t.lists, l)
	t.boundLocked()
	return nil
}

// Seen notes that the origin has confirmed a list. With the Release file of a
// distribution, all indexes that it names are what they were.
func (t *Table) Seen(doc string) {
	dir := doc[:strings.LastIndexByte(doc, '/')+1]
	names := doc == dir+"InRelease" || doc == dir+"Release"
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range t.lists {
		if l.Doc == doc || names && strings.HasPrefix(l.Doc, dir) {
			l.Seen, l.dirty = t.now(), true
		}
	}
}

// Say notes the digest that came with an answer about the content of a key.
func (t *Table) Say(id string, d rules.Digest) { t.put(id, single{d, t.now()}) }

// Gives notes that a host sends digests with its answers.
func (t *Table) Gives(host string) { t.put(hostKey(host), single{at: t.now()}) }

func hostKey(host string) string { return "host " + host } // no URL begins so

// DoesGive reports that a host did so lately.
func (t *Table) DoesGive(host string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, ok := t.single[sumOf(hostKey(host))]
	return ok && t.now().Sub(s.at) < believed
}

func (t *Table) put(id string, s single) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k := range t.single { // any: most are looked up in a moment or never
		if len(t.single) < mostSingle {
			break
		}
		delete(t.single, k)
	}
	t.single[sumOf(id)] = s
}

// Lookup returns what is said of a key. It may be older than the content. Of lists
// that contradict each other the one that was learnt last counts.
func (t *Table) Lookup(id string) (d rules.Digest, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now, k := t.now(), sumOf(id)
	if at, ok := t.doubt[k]; ok && now.Sub(at) < believed {
		return rules.Digest{}, false
	}
	if s, ok := t.single[k]; ok && s.d != (rules.Digest{}) && now.Sub(s.at) < believed {
		return s.d, true
	}
	for i := len(t.lists) - 1; i >= 0; i-- {
		l := t.lists[i]
		if now.Sub(l.Seen) >= believed || !strings.HasPrefix(id, l.Base) {
			continue
		}
		if d, ok := l.find(k); ok {
			return d, true
		}
	}
	return rules.Digest{}, false
}

// Doubt is called for content that was not what was said of it. It is not looked
// up again until the lists have had time to be renewed.
func (t *Table) Doubt(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := sumOf(id)
	if len(t.doubt) >= mostSingle {
		clear(t.doubt)
	}
	t.doubt[k] = t.now()
}

// Forget forgets everything.
func (t *Table) Forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range t.lists {
		os.Remove(l.path)
	}
	t.lists = nil
	clear(t.single)
	clear(t.doubt)
}

// Stats are the numbers of lists and of what they say.
func (t *Table) Stats() (lists int, statements int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range t.lists {
		statements += l.Rows
	}
	return len(t.lists), statements + int64(len(t.single))
}

// Close notes on disk when lists were confirmed.
func (t *Table) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range t.lists {
		l.keep()
	}
	t.lists = nil
}

// boundLocked forgets the lists that were seen longest ago.
func (t *Table) boundLocked() {
	slices.SortStableFunc(t.lists, func(a, b *list) int { return a.Seen.Compare(b.Seen) })
	bytes := int64(0)
	for _, l := range t.lists {
		bytes += l.size()
	}
	for len(t.lists) > 0 && (len(t.lists) > mostLists || bytes > mostBytes || t.now().Sub(t.lists[0].Seen) >= believed) {
		bytes -= t.lists[0].size()
		os.Remove(t.lists[0].path)
		t.lists = t.lists[1:]
	}
}
