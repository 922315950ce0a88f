package digests_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"dtpx/cache/internal/digests"
	"dtpx/cache/internal/rules"
)

// rig is a table whose clock the test moves.
type rig struct {
	*digests.Table
	t   *testing.T
	dir string
	now time.Time
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, dir: filepath.Join(t.TempDir(), "digests"), now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	r.again()
	return r
}

func (r *rig) again() {
	if r.Table != nil {
		r.Close()
	}
	r.Table = digests.Open(r.dir, func() time.Time { return r.now })
}

func (r *rig) learn(doc, base string, from, to int) {
	r.t.Helper()
	var all []digests.Statement
	for i := from; i < to; i++ {
		all = append(all, digests.Statement{ID: id(i), Digest: digest(i)})
	}
	if err := r.Learn(doc, base, all); err != nil {
		r.t.Fatal(err)
	}
}

func id(i int) string { return fmt.Sprintf("https://h/d/%d", i) }

func (r *rig) want(i int, d rules.Digest) {
	r.t.Helper()
	if got, ok := r.Lookup(id(i)); got != d || ok != (d != rules.Digest{}) {
		r.t.Errorf("%s: %v %v, want %v", id(i), got, ok, d)
	}
}

func TestTable(t *testing.T) {
	r := newRig(t)
	r.want(1, rules.Digest{})
	r.learn("https://h/d/SUMS", "https://h/d/", 0, 1000)
	for range 2 {
		r.want(0, digest(0))
		r.want(999, digest(999))
		r.want(1000, rules.Digest{})
		r.again()
	}
	r.learn("https://h/d/SUMS", "https://h/d/", 500, 1001) // a new edition
	r.want(0, rules.Digest{})
	r.want(1000, digest(1000))
	r.Say(id(1000), digest(7))
	r.want(1000, digest(7))
	r.Doubt(id(1000))
	r.want(1000, rules.Digest{})
	r.want(999, digest(999))
	r.now = r.now.Add(49 * time.Hour)
	r.want(999, rules.Digest{})
}

// TestReleaseConfirmsIndexes: with the signed file all that it names is what it was.
func TestReleaseConfirmsIndexes(t *testing.T) {
	r := newRig(t)
	const dir = "https://h/d/dists/s/"
	r.learn(dir+"main/by-hash/SHA256/00", "https://h/d/", 0, 10)
	for range 3 {
		r.now = r.now.Add(40 * time.Hour)
		r.Seen(dir + "InRelease")
		r.Seen("https://h/d/dists/t/InRelease")
	}
	r.want(5, digest(5))
	r.now = r.now.Add(40 * time.Hour)
	r.Seen(dir + "main/Contents")
	r.now = r.now.Add(40 * time.Hour)
	r.want(5, rules.Digest{})
}

// TestConfirmed: a list counts for as long as the origin confirms it, over a restart
// as well.
func TestConfirmed(t *testing.T) {
	r := newRig(t)
	r.learn("https://h/d/SUMS", "https://h/d/", 0, 10)
	for range 5 {
		r.now = r.now.Add(40 * time.Hour)
		r.Seen("https://h/d/SUMS")
		r.again()
		r.want(5, digest(5))
	}
	r.now = r.now.Add(49 * time.Hour)
	r.again()
	if n, _ := r.Stats(); n != 0 {
		t.Errorf("%d lists that are too old", n)
	}
}

// TestOnlyItsOwn: what is not below a list's base it has no say in.
func TestOnlyItsOwn(t *testing.T) {
	r := newRig(t)
	if err := r.Learn("https://evil/SUMS", "https://evil/", []digests.Statement{{ID: id(1), Digest: digest(1)}}); err == nil {
		t.Error("a list of another host's files was taken")
	}
	r.want(1, rules.Digest{})
}

// TestContradiction: a list that says two things of one URL says nothing.
func TestContradiction(t *testing.T) {
	r := newRig(t)
	all := []digests.Statement{{id(1), digest(1)}, {id(2), digest(2)}, {id(1), digest(3)}, {id(2), digest(2)}}
	if err := r.Learn("https://h/d/SUMS", "https://h/d/", all); err != nil {
		t.Fatal(err)
	}
	r.want(1, rules.Digest{})
	r.want(2, digest(2))
}

// TestBounded: the lists seen longest ago go first, with their files.
func TestBounded(t *testing.T) {
	r := newRig(t)
	for i := range 1030 {
		r.now = r.now.Add(time.Second)
		r.learn(fmt.Sprintf("https://h/d/%d/SUMS", i), "https://h/d/", i, i+1)
	}
	files, err := os.ReadDir(r.dir)
	if n, _ := r.Stats(); n != 1024 || len(files) != n || err != nil {
		t.Errorf("%d lists, %d files, %v", n, len(files), err)
	}
	r.want(0, rules.Digest{})
	r.want(1029, digest(1029))
}

// TestDamaged: a file that is not what was written is forgotten, others are not.
func TestDamaged(t *testing.T) {
	for name, damage := range map[string]func(b []byte) []byte{
		"cut":      func(b []byte) []byte { return b[:len(b)-1] },
		"longer":   func(b []byte) []byte { return append(b, 0) },
		"a bit":    func(b []byte) []byte { b[len(b)-30] ^= 4; return b },
		"empty":    func([]byte) []byte { return nil },
		"no magic": func(b []byte) []byte { b[0] = 'D'; return b },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.learn("https://h/d/SUMS", "https://h/d/", 0, 10)
			r.Close()
			files, _ := filepath.Glob(r.dir + "/*")
			b, err := os.ReadFile(files[0])
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(files[0], damage(b), 0o600); err != nil {
				t.Fatal(err)
			}
			r.again()
			r.want(5, rules.Digest{})
			r.learn("https://h/d/SUMS", "https://h/d/", 0, 10)
			r.want(5, digest(5))
		})
	}
}

func TestGives(t *testing.T) {
	r := newRig(t)
	if r.DoesGive("https://h") {
		t.Error("at first")
	}
	r.Gives("https://h")
	if !r.DoesGive("https://h") || r.DoesGive("https://g") {
		t.Error("not told apart")
	}
}

func TestForget(t *testing.T) {
	r := newRig(t)
	r.learn("https://h/d/SUMS", "https://h/d/", 0, 10)
	r.Say(id(20), digest(20))
	r.Forget()
	for range 2 {
		r.want(1, rules.Digest{})
		r.want(20, rules.Digest{})
		if files, _ := os.ReadDir(r.dir); len(files) > 0 {
			t.Errorf("%d files are left", len(files))
		}
		r.again()
	}
	r.learn("https://h/d/SUMS", "https://h/d/", 0, 10)
	r.want(1, digest(1))
}
