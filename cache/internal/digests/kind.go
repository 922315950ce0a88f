package digests

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"dtpx/cache/internal/rules"
)

// Statement is what a list says of one URL.
type Statement struct {
	ID     string // rules.Key.ID
	Digest rules.Digest
}

// Bounds of what is read of a list. Debian's largest has 60,000 packages in 50 MB.
const (
	MostRead   = 64 << 20 // as stored
	mostPlain  = 512 << 20
	mostLine   = 64 << 10
	mostStated = 250_000
)

// List is a response that may make statements.
type List struct {
	base   *url.URL // whose reference the names are
	prefix string   // of the keys that it may speak for
	read   func(l *List, r *bufio.Reader, say sayer) error
}

// sayer takes a statement about a reference, and whether to go on.
type sayer func(ref string, d rules.Digest) bool

// Find tells by its URL, the key of that and its fields whether a response is a
// list. doc is absolute.
func Find(doc *url.URL, h http.Header) (*List, bool) {
	secure := strings.EqualFold(doc.Scheme, "https")
	dir, name := path.Split(doc.EscapedPath())
	kind := mediaType(h)
	switch {
	case doc.RawQuery != "" || doc.User != nil:
	case strings.Contains(dir, "/dists/"):
		// apt checks signatures and digests itself, whatever the scheme: what is
		// said over http counts for http.
		return aptList(doc, dir, name)
	case isPackages(name): // a flat repository
		return newList(doc, dir, readPackages)
	case !secure:
	case isSums(name):
		return newList(doc, dir, readSums)
	case strings.HasPrefix(kind, "application/vnd.npm.install-v1+json"), doc.Host == "registry.npmjs.org" && kind == "application/json":
		return npmList(doc)
	case strings.Contains(dir, "/simple/") && name == "":
		return pypiList(doc, kind)
	}
	return nil, false
}

func mediaType(h http.Header) string {
	t, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	return strings.ToLower(strings.TrimSpace(t))
}

// newList is one whose names are relative to dir, a path of doc's host, and that
// speaks for what is below it.
func newList(doc *url.URL, dir string, read func(*List, *bufio.Reader, sayer) error) (*List, bool) {
	base, err := url.Parse(doc.Scheme + "://" + doc.Host + dir)
	if err != nil {
		return nil, false
	}
	return speaksFor(base, base, read)
}

func speaksFor(base, part *url.URL, read func(*List, *bufio.Reader, sayer) error) (*List, bool) {
	k, err := rules.KeyOf(part, nil)
	if err != nil || k.Signed || !strings.HasSuffix(k.ID, "/") {
		return nil, false
	}
	return &List{base, k.ID, read}, true
}

// Base is the beginning of the keys that the list may speak for.
func (l *List) Base() string { return l.prefix }

var errTooMuch = errors.New("more statements than are kept")

// Read returns what the list says. coding is the Content-Encoding of r. keys are
// the rules that keys are made by.
func (l *List) Read(r io.Reader, coding string, keys []rules.KeyRule) (all []Statement, err error) {
	plain, err := plainOf(r, coding)
	if err != nil {
		return nil, err
	}
	err = l.read(l, plain, func(ref string, d rules.Digest) bool {
		if id, ok := l.key(ref, keys); ok {
			all = append(all, Statement{id, d})
		}
		return len(all) < mostStated
	})
	if len(all) >= mostStated {
		return nil, errTooMuch
	}
	return all, err
}

// key is that of a reference, if the list may speak for it.
func (l *List) key(ref string, keys []rules.KeyRule) (id string, ok bool) {
	if len(ref) > mostLine || strings.Contains(ref, "..") || strings.Contains(strings.ToLower(ref), "%2e") {
		return "", false
	}
	u, err := l.base.Parse(ref)
	if err != nil {
		return "", false
	}
	u.Fragment, u.RawFragment = "", ""
	k, err := rules.KeyOf(u, keys)
	return k.ID, err == nil && !k.Signed && strings.HasPrefix(k.ID, l.prefix)
}

// plainOf undoes the content coding and then the format of a compressed file,
// which its first bytes tell.
func plainOf(r io.Reader, coding string) (*bufio.Reader, error) {
	r = io.LimitReader(r, MostRead)
	switch strings.ToLower(strings.TrimSpace(coding)) {
	case "", "identity":
	case "gzip", "x-gzip":
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, err
		}
		r = io.LimitReader(z, mostPlain)
	default:
		return nil, errors.New("content coding " + coding)
	}
	b := bufio.NewReaderSize(r, mostLine)
	head, err := b.Peek(64)
	if err != nil && err != io.EOF {
		return nil, err
	}
	var z io.Reader
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		z, err = gzip.NewReader(b)
	case bytes.HasPrefix(head, []byte("\xfd7zXZ\x00")):
		if xzDictionary(head) > 64<<20 {
			return nil, errors.New("xz with a dictionary too large")
		}
		z, err = xz.NewReader(b)
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err = zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(mostPlain), zstd.WithDecoderMaxWindow(64<<20))
	case bytes.HasPrefix(head, []byte("BZh")):
		z = bzip2.NewReader(b)
	default:
		return b, nil
	}
	if err != nil {
		return nil, err
	}
	return bufio.NewReaderSize(io.LimitReader(z, mostPlain), mostLine), nil
}

// xzDictionary is how much memory the first block of an xz file asks for (XZ file
// format §3.1, LZMA2 §5.3.1): the library allocates what it says. Of what it
// cannot read it says the most there is.
func xzDictionary(head []byte) int64 {
	const header = 12
	if len(head) < header+8 {
		return 0 // too short for any block
	}
	flags, at := head[header+1], header+2
	for _, optional := range []byte{0x40, 0x80} { // sizes
		for flags&optional != 0 && at < len(head) {
			if at++; head[at-1]&0x80 == 0 {
				break
			}
		}
	}
	if head[header] == 0 {
		return 0 // no block
	}
	if at+2 >= len(head) || flags&3 != 0 || head[at] != 0x21 || head[at+1] != 1 || head[at+2] > 40 {
		return 1 << 32
	}
	bits := head[at+2]
	return int64(2|bits&1) << (bits/2 + 11)
}

// lines calls f with each line, without its end. What is longer than any line of
// such a list ends it.
func lines(r *bufio.Reader, f func(line string) bool) error {
	for {
		b, err := r.ReadSlice('\n')
		if len(b) > 0 && err != bufio.ErrBufferFull && !f(strings.TrimRight(string(b), "\r\n")) {
			return nil
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
