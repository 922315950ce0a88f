package digests

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"dtpx/cache/internal/rules"
)

// A list's file:
//
//	magic, a line
//	header, a line of JSON
//	records, sorted: the first 16 bytes of the key's SHA-256, then the digest
//	xxhash64 of the records, big-endian
//
// It is searched where it lies; a hundred thousand statements cost no memory.
const (
	magic  = "dtpx digests 1\n"
	suffix = ".digests"
)

// header is what is known of a list without its records.
type header struct {
	Doc  string    `json:"doc"`
	Base string    `json:"base"`
	Seen time.Time `json:"seen"`
	Algo string    `json:"algo"`
	Rows int64     `json:"rows"`
}

type list struct {
	header
	path  string
	at    int64 // of the records in it
	dirty bool  // it was confirmed since
}

// mostHeader bounds a header's line; two keys of 8 KiB, each byte escaped.
const mostHeader = 128 << 10

// digestLen is the length of a digest in bytes.
func digestLen(algo string) int {
	switch algo {
	case rules.SHA256:
		return 32
	case rules.SHA512:
		return 64
	}
	return 0
}

func nameOf(doc string) string {
	s := sumOf(doc)
	return hex.EncodeToString(s[:]) + suffix
}

func (l *list) record() int { return len(sum{}) + digestLen(l.Algo) }

func (l *list) size() int64 { return l.Rows * int64(l.record()) }

// write makes the file. All statements are to be of one algorithm; those of others
// than the first one's are left out.
func (l *list) write(all []Statement) error {
	l.Algo = all[0].Digest.Algo
	var rows [][]byte
	for _, s := range all {
		d, err := hex.DecodeString(s.Digest.Hex)
		if err != nil || s.Digest.Algo != l.Algo || len(d) != digestLen(l.Algo) {
			continue
		}
		k := sumOf(s.ID)
		rows = append(rows, append(k[:], d...))
	}
	slices.SortFunc(rows, bytes.Compare)
	rows = agreed(rows)
	l.Rows = int64(len(rows))
	if l.Rows == 0 {
		return errors.New("no digest of a known algorithm")
	}
	return l.save(slices.Concat(rows...))
}

// agreed leaves out keys of which two things are said.
func agreed(rows [][]byte) (kept [][]byte) {
	n := len(sum{})
	for i := 0; i < len(rows); {
		j := i + 1
		for j < len(rows) && bytes.Equal(rows[i][:n], rows[j][:n]) {
			j++
		}
		if bytes.Equal(rows[i], rows[j-1]) {
			kept = append(kept, rows[i])
		}
		i = j
	}
	return kept
}

// save writes the file anew and puts it in place of the old one.
func (l *list) save(records []byte) error {
	head, err := json.Marshal(l.header)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(l.path), 0o700); err != nil {
		return err
	}
	var b bytes.Buffer
	b.WriteString(magic)
	b.Write(head)
	b.WriteByte('\n')
	l.at = int64(b.Len())
	b.Write(records)
	b.Write(binary.BigEndian.AppendUint64(nil, xxhash.Sum64(records)))
	if err := os.WriteFile(l.path+".new", b.Bytes(), 0o600); err != nil {
		os.Remove(l.path + ".new")
		return err
	}
	return os.Rename(l.path+".new", l.path)
}

// openList reads a file's header and checks its records.
func openList(path string) (*list, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	i, err := f.Stat()
	if err != nil {
		return nil, err
	}
	head := make([]byte, min(mostHeader, i.Size()))
	if _, err := io.ReadFull(f, head); err != nil {
		return nil, err
	}
	rest, ok := bytes.CutPrefix(head, []byte(magic))
	line, _, found := bytes.Cut(rest, []byte("\n"))
	if !ok || !found {
		return nil, errors.New("not a list of digests")
	}
	l := &list{path: path, at: int64(len(magic) + len(line) + 1)}
	if err := json.Unmarshal(line, &l.header); err != nil {
		return nil, err
	}
	if digestLen(l.Algo) == 0 || l.Rows <= 0 || l.Rows > mostBytes || l.at+l.size()+8 != i.Size() || filepath.Base(path) != nameOf(l.Doc) {
		return nil, errors.New("a list of digests that is damaged or cut")
	}
	h := xxhash.New()
	if _, err := io.Copy(h, io.NewSectionReader(f, l.at, l.size())); err != nil {
		return nil, err
	}
	var want [8]byte
	if _, err := f.ReadAt(want[:], l.at+l.size()); err != nil || h.Sum64() != binary.BigEndian.Uint64(want[:]) {
		return nil, errors.New("a list of digests that is damaged")
	}
	return l, nil
}

// find searches the file.
func (l *list) find(k sum) (rules.Digest, bool) {
	f, err := os.Open(l.path)
	if err != nil {
		return rules.Digest{}, false
	}
	defer f.Close()
	size := int64(l.record())
	row := make([]byte, size)
	lo, hi := int64(0), l.Rows
	for lo < hi {
		mid := (lo + hi) / 2
		if _, err := f.ReadAt(row, l.at+mid*size); err != nil {
			return rules.Digest{}, false
		}
		switch c := bytes.Compare(row[:len(k)], k[:]); {
		case c == 0:
			return rules.Digest{Algo: l.Algo, Hex: hex.EncodeToString(row[len(k):])}, true
		case c < 0:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return rules.Digest{}, false
}

// keep writes down when the list was seen last.
func (l *list) keep() {
	b, err := os.ReadFile(l.path)
	if !l.dirty || err != nil || int64(len(b)) != l.at+l.size()+8 {
		return
	}
	_ = l.save(b[l.at : l.at+l.size()]) // the old one is as right
}
