package proxy

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"net"
	"net/netip"
	"path"
	"strings"
	"testing"
)

// helloOf is the first flight of a Go client.
func helloOf(t testing.TB, config *tls.Config) []byte {
	c, s := net.Pipe()
	defer s.Close()
	go func() {
		_ = tls.Client(c, config).Handshake()
		c.Close()
	}()
	buf := make([]byte, 1<<16)
	n, err := s.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}

func TestParseHello(t *testing.T) {
	b := helloOf(t, &tls.Config{ServerName: "example.com", NextProtos: []string{"h2", "http/1.1"}})
	for n := range len(b) {
		if _, more := helloMessage(b[:n]); !more {
			t.Fatalf("%d of %d bytes are enough", n, len(b))
		}
	}
	msg, more := helloMessage(append(b, "rest"...))
	h, ok := parseHello(msg)
	if more || !ok || h.serverName != "example.com" || !h.modern || !h.speaksHTTP() || len(h.alpn) != 2 || h.shape == "" {
		t.Errorf("%+v", h)
	}
	if msg, more := helloMessage([]byte("GET / HTTP/1.1\r\n")); msg != nil || more {
		t.Error("HTTP taken for TLS")
	}
}

// The same hello in records of one byte each is the same hello.
func TestHelloInManyRecords(t *testing.T) {
	b := helloOf(t, &tls.Config{ServerName: "example.com"})
	var split []byte
	for _, c := range b[5:] {
		split = append(split, 22, 3, 1, 0, 1, c)
	}
	whole, _ := helloMessage(b)
	parts, more := helloMessage(split)
	if more || !bytes.Equal(whole, parts) {
		t.Errorf("%d and %d bytes, more %v", len(whole), len(parts), more)
	}
}

func TestShapeIsOfTheProgramNotOfTheConnection(t *testing.T) {
	shape := func(c *tls.Config) string {
		msg, _ := helloMessage(helloOf(t, c))
		h, _ := parseHello(msg)
		return h.shape
	}
	one := shape(&tls.Config{ServerName: "example.com"})
	if shape(&tls.Config{ServerName: "example.org"}) != one || shape(&tls.Config{ServerName: "192.0.2.1"}) != one {
		t.Error("the host is in the shape")
	}
	if shape(&tls.Config{ServerName: "example.com", NextProtos: []string{"h2"}}) == one || shape(&tls.Config{ServerName: "example.com", MaxVersion: tls.VersionTLS12}) == one {
		t.Error("two programs, one shape")
	}
}

// extension encodes one for a made-up hello.
func extension(kind uint16, data ...byte) []byte {
	return append([]byte{byte(kind >> 8), byte(kind), 0, byte(len(data))}, data...)
}

func madeHello(suites []byte, extensions ...[]byte) []byte {
	body := append([]byte{3, 3}, make([]byte, 33)...)
	body = append(body, 0, byte(len(suites)))
	body = append(body, suites...)
	body = append(body, 1, 0)
	ext := bytes.Join(extensions, nil)
	body = append(body, 0, byte(len(ext)))
	body = append(body, ext...)
	return append([]byte{1, 0, 0, byte(len(body))}, body...)
}

// Chromium shuffles its extensions and strews GREASE in.
func TestShapeIgnoresGreaseOrderAndWhatComesAndGoes(t *testing.T) {
	groups := extension(extGroups, 0, 2, 0, 29)
	greased := extension(extGroups, 0, 4, 0xaa, 0xaa, 0, 29)
	other, ticket := extension(0xff01, 0), extension(35)
	a, ok := parseHello(madeHello([]byte{0x13, 1}, groups, other, ticket))
	b, ok2 := parseHello(madeHello([]byte{0x1a, 0x1a, 0x13, 1}, extension(0x0a0a), ticket, other, extension(extPadding, 0, 0), greased, extension(extPreSharedKey, 1)))
	if !ok || !ok2 || a.shape != b.shape {
		t.Errorf("%+v %+v", a, b)
	}
	c, _ := parseHello(madeHello([]byte{0x13, 2}, groups, other, ticket))
	if c.shape == a.shape {
		t.Error("other ciphers, same shape")
	}
}

func FuzzHello(f *testing.F) {
	f.Add(helloOf(f, &tls.Config{ServerName: "example.com", NextProtos: []string{"h2"}}))
	f.Add([]byte("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"))
	f.Add([]byte("GET / HTTP/1.1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		msg, more := helloMessage(b)
		if more && msg != nil {
			t.Fatal("a message that is not whole")
		}
		if !more && len(b) > 0 {
			// What is decided stays decided.
			if again, more := helloMessage(append(bytes.Clone(b), 0)); more || !bytes.Equal(msg, again) {
				t.Fatal("one more byte changed the message")
			}
		}
		if h, ok := parseHello(msg); ok != (h != nil) {
			t.Fatal("neither hello nor refusal")
		}
		_, _ = parseHello(b)
	})
}

func FuzzGlob(f *testing.F) {
	for _, s := range [][2]string{{"*.example.com", "a.example.com"}, {"*", ""}, {"a?c", "abc"}, {"**a*", "aaa"}, {"x", "y"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if strings.ContainsAny(pattern, `[]\/`) || strings.Contains(s, "/") || len(pattern)+len(s) > 100 {
			return
		}
		for _, r := range pattern + s {
			if r >= 0x80 {
				return // path.Match counts runes
			}
		}
		want, err := path.Match(pattern, s)
		if got := glob(pattern).match(s); err == nil && got != want {
			t.Errorf("%q matches %q: %v, want %v", pattern, s, got, want)
		}
	})
}

func FuzzBasicAuth(f *testing.F) {
	f.Add("Basic eDp5")
	f.Add("basic  eDp5 ")
	f.Add("Bearer x")
	f.Fuzz(func(t *testing.T, field string) {
		name, password, ok := basicAuth(field)
		if strings.Contains(name, ":") {
			t.Error("colon in a name")
		}
		if !ok {
			return
		}
		again := "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+password))
		if n, p, ok := basicAuth(again); !ok || n != name || p != password {
			t.Errorf("%q does not survive", field)
		}
	})
}

// Whatever is spelt so that it reaches loopback must be known as such.
func FuzzLiteral(f *testing.F) {
	for _, s := range []string{"127.0.0.1", "0x7f.1", "2130706433", "[::1]", "localhost", "example.com", "017700000001"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, host string) {
		addr, ok := literal(host)
		if want, err := netip.ParseAddr(canonicalHost(host)); err == nil && (!ok || addr != want.WithZone("")) {
			t.Errorf("%q: %v", host, addr)
		}
		_, _, _ = net.SplitHostPort(host)
		_ = new(Guard).CheckHost(host)
		_ = canonicalAuthority(host)
	})
}

func FuzzHopFields(f *testing.F) {
	f.Add("close, X-A", "X-A")
	f.Add("Range,,", "Range")
	f.Fuzz(func(t *testing.T, connection, name string) {
		h := map[string][]string{"Connection": {connection}, name: {"1"}, "Range": {"bytes=0-1"}}
		removeHopFields(h)
		if h["Range"] == nil || h["Connection"] != nil {
			t.Errorf("%q: %v", connection, h)
		}
	})
}
