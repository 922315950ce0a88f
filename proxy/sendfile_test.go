package proxy_test

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"dtpx/proxy"
)

// patchwork is a body whose every other piece is given out as a file.
type patchwork struct {
	t      *testing.T
	all    []byte
	piece  int
	pos    int
	file   *os.File
	sent   int // by file
	read   int
	closed chan struct{}
	once   sync.Once
}

func newPatchwork(t *testing.T, all []byte, piece, onDisk int) *patchwork {
	path := filepath.Join(t.TempDir(), "f")
	must(os.WriteFile(path, all[:onDisk], 0o600))
	f, err := os.Open(path)
	must(err)
	t.Cleanup(func() { f.Close() })
	return &patchwork{t: t, all: all, piece: piece, file: f, closed: make(chan struct{})}
}

func (p *patchwork) NextFile() (*os.File, int64, bool) {
	if p.pos/p.piece%2 == 0 || p.pos == len(p.all) {
		return nil, 0, false
	}
	_, err := p.file.Seek(int64(p.pos), io.SeekStart)
	must(err)
	return p.file, int64(min(p.piece-p.pos%p.piece, len(p.all)-p.pos)), true
}

func (p *patchwork) Sent(n int64) { p.pos += int(n); p.sent += int(n) }

func (p *patchwork) Read(b []byte) (int, error) {
	if p.pos == len(p.all) {
		return 0, io.EOF
	}
	end := min(len(p.all), p.pos+p.piece-p.pos%p.piece)
	n := copy(b, p.all[p.pos:end])
	p.pos += n
	p.read += n
	return n, nil
}

func (p *patchwork) Close() error { p.once.Do(func() { close(p.closed) }); return nil }

// TestFileBody: pieces in files and others come in order, on a bare connection by
// the file, inside TLS by reading.
func TestFileBody(t *testing.T) {
	eachScheme(t, func(t *testing.T, base string, h2 bool) {
		all := bytes.Repeat([]byte("0123456789abcdef-"), 40_000)
		for _, piece := range []int{len(all) + 1, 100_000, 7001} {
			p := newPatchwork(t, all, piece, len(all))
			r := newRig(t, func(s *proxy.Server) {
				s.Transport = roundTripper(func(q *http.Request) (*http.Response, error) {
					return &http.Response{StatusCode: 200, Header: http.Header{}, ContentLength: int64(len(all)), Body: p, Request: q}, nil
				})
			})
			resp, err := r.client(h2).Get(base + "/f")
			if got := body(t, resp, err); got != string(all) {
				t.Fatalf("piece %d: %d bytes of %d, or other ones", piece, len(got), len(all))
			}
			await(t, p.closed, "the end of the body")
			if plain := base[:5] == "http:"; (p.sent > 0) != (plain && piece < len(all)) {
				t.Errorf("%s, piece %d: %d bytes by file, %d read", base, piece, p.sent, p.read)
			}
		}
	})
}

// TestFileCutShort: a file that somebody cuts off does not make a body that looks
// whole; what follows is read.
func TestFileCutShort(t *testing.T) {
	all := bytes.Repeat([]byte("x"), 300_000)
	p := newPatchwork(t, all, 100_000, 150_000)
	r := newRig(t, func(s *proxy.Server) {
		s.Transport = roundTripper(func(q *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{}, ContentLength: int64(len(all)), Body: p, Request: q}, nil
		})
	})
	resp, err := r.client(false).Get("http://origin.test/f")
	if got := body(t, resp, err); got != string(all) {
		t.Errorf("%d bytes", len(got))
	}
}
