package relay

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestParseTarget(t *testing.T) {
	for row := range strings.Lines(`
		1.1.1.1:443              ok
		[2606:4700::1]:443       ok
		example.com:80           ok
		EXAMPLE.com:80           ok
		xn--bcher-kva.example:80 ok
		a_b.example:80           ok
		localhost:80             ok
		3com.example:80          ok
		0x7f.example:80          ok
		2130706433:80            no
		0x7f000001:80            no
		017700000001:80          no
		0177.0.0.1:80            no
		0x7f.0.0.1:80            no
		127.1:80                 no
		127.0.1:80               no
		127.0.0.01:80            no
		127.0.0.1.:80            no
		a.127:80                 no
		a.0x7f:80                no
		example.com.:80          no
		1.1.1.1                  no
		1.1.1.1:                 no
		1.1.1.1:0                no
		1.1.1.1:080              no
		1.1.1.1:+80              no
		1.1.1.1:65536            no
		1.1.1.1:80:80            no
		:80                      no
		::1:80                   no
		[::1:80                  no
		[::1%lo]:80              no
		[1.1.1.1]:80             no
		[]:80                    no
		a..b:80                  no
		-a.b:80                  no
		user@example.com:80      no
		http://example.com:80    no
		１２７.0.0.1:80          no
		127。0。0。1:80          no
	`) {
		f := strings.Fields(row)
		if len(f) == 0 {
			continue
		}
		if _, ok := parseTarget(f[0]); ok != (f[1] == "ok") {
			t.Errorf("%s: ok=%v", f[0], ok)
		}
	}
}

func TestParseTakesOneSpellingOfARequest(t *testing.T) {
	for in, want := range map[string]int{
		"CONNECT 1.1.1.1:443 HTTP/1.1\r\nHost: 1.1.1.1:443\r\n":                         0,
		"CONNECT 1.1.1.1:443 HTTP/1.1\r\nhost:1.1.1.1:443\r\nX: y\r\n":                  0,
		"GET 1.1.1.1:443 HTTP/1.1\r\nHost: 1.1.1.1:443\r\n":                             405,
		"connect 1.1.1.1:443 HTTP/1.1\r\nHost: 1.1.1.1:443\r\n":                         405,
		"CONNECT 1.1.1.1:443 HTTP/1.0\r\nHost: 1.1.1.1:443\r\n":                         400,
		"CONNECT  1.1.1.1:443 HTTP/1.1\r\nHost: 1.1.1.1:443\r\n":                        400,
		"CONNECT 1.1.1.1:443 HTTP/1.1\r\n":                                              400,
		"CONNECT 1.1.1.1:443 HTTP/1.1\r\nHost: 1.1.1.2:443\r\n":                         400,
		"CONNECT 1.1.1.1:443 HTTP/1.1\r\nHost: 1.1.1.1:443\r\nHost: 1.1.1.1:443\r\n":    400,
		"CONNECT 1.1.1.1:443 HTTP/1.1\r\nHost: 1.1.1.1:443\r\nContent-Length: 1\r\n":    400,
		"CONNECT 1.1.1.1:443 HTTP/1.1\r\nHost: 1.1.1.1:443\r\nTransfer-Encoding: a\r\n": 400,
		"CONNECT 1.1.1.1:443 HTTP/1.1\r\nHost: 1.1.1.1:443\r\n folded\r\n":              400,
		"CONNECT 1.1.1.1:443 HTTP/1.1\r\nHost : 1.1.1.1:443\r\n":                        400,
		"CONNECT 1.1.1.1:443 HTTP/1.1\nHost: 1.1.1.1:443\n":                             400,
		"CONNECT 1.1.1.1:443 HTTP/1.1\r\nHost: 1.1.1.1:443\r\nX: a\rb\r\n":              400,
		"CONNECT 2130706433:443 HTTP/1.1\r\nHost: 2130706433:443\r\n":                   400,
		"": 400,
	} {
		_, err := parse([]byte(in))
		got := 0
		if err != nil {
			got = refused(err).status
		}
		if got != want {
			t.Errorf("%q: %d, want %d", in, got, want)
		}
	}
}

func TestReadHeadIsBoundedAndKeepsWhatFollows(t *testing.T) {
	head, rest, err := readHead(iotest.OneByteReader(strings.NewReader("a\r\nb\r\n\r\n")))
	if err != nil || string(head) != "a\r\nb\r\n" || len(rest) != 0 {
		t.Errorf("%q %q %v", head, rest, err)
	}
	if head, rest, err = readHead(strings.NewReader("a\r\n\r\nhello")); err != nil || string(head) != "a\r\n" || string(rest) != "hello" {
		t.Errorf("%q %q %v", head, rest, err)
	}
	if _, _, err = readHead(io.LimitReader(zeros{}, 1<<20)); err == nil || refused(err).status != 431 {
		t.Errorf("endless: %v", err)
	}
	if _, _, err = readHead(strings.NewReader("a\r\n")); err == nil {
		t.Error("cut head passed")
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func FuzzParse(f *testing.F) {
	f.Add([]byte("CONNECT 1.1.1.1:443 HTTP/1.1\r\nHost: 1.1.1.1:443\r\n\r\nrest"))
	f.Add([]byte("CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n\r\n"))
	f.Add([]byte("CONNECT a.b:443 HTTP/1.1\r\nHost: a.b:443\r\nA: b\r\n\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		head, _, err := readHead(bytes.NewReader(in))
		if err != nil {
			return
		}
		to, err := parse(head)
		if err != nil {
			if refused(err).status == 502 {
				t.Errorf("a bad request is not a failed dial: %v", err)
			}
			return
		}
		if to.addr.IsValid() == (to.name != "") || to.port == 0 {
			t.Errorf("%q: %+v", in, to)
		}
		if to.name != "" && (strings.ContainsAny(to.name, ":/@[] \r\n\x00") || to.name[len(to.name)-1] == '.') {
			t.Errorf("name %q", to.name)
		}
	})
}
