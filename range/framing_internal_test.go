package ranges

import (
	"bytes"
	"strings"
	"testing"
)

// TestHeadScan: whatever the pieces in which a header section comes, and whatever comes
// behind it, what it says of its length is found, and nothing else.
func TestHeadScan(t *testing.T) {
	const both = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, c := range []struct {
		text string
		over bool
		want string // "": not both
	}{
		{"HTTP/1.1 200 OK\r\n" + both, true, "5"},
		{"HTTP/1.1 200 OK\n" + strings.ReplaceAll(both, "\r", ""), true, "5"},
		{"HTTP/1.1 200 OK\r\nTRANSFER-ENCODING:x\r\ncontent-length:7\r\n\r\nbody", true, "7"},
		{"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n" + both + "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", true, ""},
		{"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\n" + both, true, "5"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nTransfer-Encoding: chunked\r\n\r\n", true, ""},
		{"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 8000) + "\r\n" + both, true, "5"},
		{"HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 2000) + both, true, "5"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", false, ""},
		{"\x16\x03\x03\n" + both, true, ""}, // TLS through a parent proxy
	} {
		for _, piece := range []int{1, 3, 100, len(c.text)} {
			var h headScan
			over, b := false, []byte(c.text)
			for len(b) > 0 && !over {
				n := min(piece, len(b))
				over = h.feed(b[:n])
				b = b[n:]
			}
			got := ""
			if l := h.both(); l != nil {
				got = string(*l)
			}
			if over != c.over || got != c.want {
				t.Errorf("%.60q in pieces of %d: over %v, %q", c.text, piece, over, got)
			}
		}
	}
	var h headScan
	n := 0
	for ; !h.feed(bytes.Repeat([]byte("x"), 1000)) && n < 1000; n++ {
	}
	if n == 1000 || cap(h.line) > 4*scanMost {
		t.Errorf("an endless line is looked at for %d kB", n)
	}
}
