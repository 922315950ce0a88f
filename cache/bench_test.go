package cache

import (
	"io"
	"net/http"
	"testing"
)

// BenchmarkHit is what an answer from the cache takes in this package: a small one
// from memory, a large one from disk.
func BenchmarkHit(b *testing.B) {
	for name, size := range map[string]int{"small": 1000, "large": 16 << 20} {
		b.Run(name, func(b *testing.B) {
			body := content(size, 1)
			c, err := Open(Options{Dir: b.TempDir()})
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			t := &Transport{Cache: c, Next: origin(body)}
			req, _ := http.NewRequest("GET", "http://origin.example/f", nil)
			req.Header.Set("User-Agent", "bench")
			req.Header.Set("Accept", "*/*")
			get := func() {
				resp, err := t.RoundTrip(req)
				if err != nil {
					b.Fatal(err)
				}
				if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != int64(size) {
					b.Fatal(n, err)
				}
				resp.Body.Close()
			}
			get()
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				get()
			}
			if c.Stats().Hits < int64(b.N) {
				b.Fatal("no hits")
			}
		})
	}
}

type origin []byte

func (o origin) RoundTrip(req *http.Request) (*http.Response, error) {
	h := http.Header{"Etag": {`"1"`}, "Cache-Control": {"max-age=3600"}, "Content-Type": {"application/octet-stream"}}
	return response(req, 200, h, io.NopCloser(&fixed{o}), int64(len(o))), nil
}

type fixed struct{ rest []byte }

func (f *fixed) Read(p []byte) (int, error) {
	if len(f.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}
