package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net"
	"os"
	"testing"

	"dtpx/internal/testbed"
)

// Each connection to the origin gets slow bytes a second, so that a file of size
// takes one connection eight seconds.
const (
	slow = 1536 << 10
	size = "12MiB"
	// many connections at a time is what accelerated means: several times as fast.
	many = 4
)

func origin(t testing.TB, cfg testbed.Config) *testbed.Origin {
	t.Helper()
	o, err := testbed.New(cfg)
	must(t, err)
	t.Cleanup(func() { o.Close() })
	return o
}

func slowOrigin(t testing.TB) *testbed.Origin {
	t.Helper()
	return origin(t, testbed.Config{Limits: testbed.Limits{PerConn: slow}})
}

// same checks that a file is the content of the URL.
func same(t testing.TB, path string, o *testbed.Origin, url string) {
	t.Helper()
	if got, want := sum(t, path), o.Content(url).SHA256(); got != want {
		t.Errorf("%s has sha256 %s, want %s", path, got, want)
	}
}

func sum(t testing.TB, path string) string {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	must(t, err)
	return hex.EncodeToString(h.Sum(nil))
}

// accelerated checks that several connections fetched what the URLs with this
// part name, and little of it twice.
func accelerated(t testing.TB, o *testbed.Origin, part string) {
	t.Helper()
	st := o.Log().Stats(part)
	if st.MaxAtOnce < many {
		t.Errorf("%s: at most %d connections at a time, want %d: %+v", part, st.MaxAtOnce, many, st)
	}
}

// sizeOf is a file's size, 0 where there is none.
func sizeOf(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// freeAddr is an address on which nothing listens.
func freeAddr(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer ln.Close()
	return ln.Addr().String()
}
