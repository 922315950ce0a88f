package relay

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
)

// headMax bounds the request: a CONNECT of ours has two short lines.
const headMax = 4 << 10

// target is where a member wants to go: by address, or by name.
type target struct {
	addr netip.Addr // invalid if name is set
	name string
	port uint16
}

// readHead reads up to the empty line and returns what came behind it too.
func readHead(r io.Reader) (head, rest []byte, err error) {
	buf := make([]byte, 0, headMax)
	for {
		if i := bytes.Index(buf, []byte("\r\n\r\n")); i >= 0 {
			return buf[:i+2], buf[i+4:], nil
		}
		if len(buf) == cap(buf) {
			return nil, nil, &refusal{status: 431, reason: "size"}
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err != nil && n == 0 {
			return nil, nil, fmt.Errorf("read request: %w", err)
		}
	}
}

// parse reads a head whose lines all end in CRLF. It takes only what our own
// borrowing side sends: no body, no folding, one Host equal to the target
// (RFC 9112 §3.2.3), nothing that two readers could read differently.
func parse(head []byte) (target, error) {
	bad := func(why string) (target, error) {
		return target{}, &refusal{status: 400, reason: "syntax", err: fmt.Errorf("parse request: %s", why)}
	}
	lines := strings.Split(string(head), "\r\n")
	if lines[len(lines)-1] != "" {
		return bad("no line end")
	}
	words := strings.Split(lines[0], " ")
	if len(words) != 3 || words[2] != "HTTP/1.1" {
		return bad("request line")
	}
	if words[0] != "CONNECT" {
		return target{}, &refusal{status: 405, reason: "method"}
	}
	hosts := 0
	for _, l := range lines[1 : len(lines)-1] {
		name, value, ok := strings.Cut(l, ":")
		if !ok || !isToken(name) || strings.ContainsFunc(value, isControl) {
			return bad("field line")
		}
		switch strings.ToLower(name) {
		case "host":
			hosts++
			if strings.Trim(value, " ") != words[1] {
				return bad("host differs")
			}
		case "content-length", "transfer-encoding":
			return bad("body")
		}
	}
	if hosts != 1 {
		return bad("host")
	}
	t, ok := parseTarget(words[1])
	if !ok {
		return bad("target")
	}
	return t, nil
}

// parseTarget reads host:port. Addresses have their one canonical kind of
// spelling; the others that resolvers understand (2130706433, 0x7f.1, 0177.0.0.1)
// are neither addresses nor names here.
func parseTarget(s string) (t target, ok bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return t, false
	}
	host, port := s[:i], s[i+1:]
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || port != strconv.FormatUint(n, 10) {
		return t, false
	}
	t.port = uint16(n)
	if inner, v6 := strings.CutPrefix(host, "["); v6 {
		inner, ok = strings.CutSuffix(inner, "]")
		t.addr, err = netip.ParseAddr(inner)
		return t, ok && err == nil && t.addr.Is6() && t.addr.Zone() == ""
	}
	if t.addr, err = netip.ParseAddr(host); err == nil {
		return t, t.addr.Is4()
	}
	t.name = strings.ToLower(host)
	return t, isName(t.name)
}

// isName: letters, digits, hyphens; and a last label that no reader takes for a
// number (WHATWG URL, "ends in a number").
func isName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	labels := strings.Split(s, ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' || strings.ContainsFunc(l, notInName) {
			return false
		}
	}
	last := labels[len(labels)-1]
	return last[0] < '0' || last[0] > '9'
}

func notInName(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_'
}

// isControl is also true for what is not ASCII.
func isControl(r rune) bool { return r < ' ' && r != '\t' || r >= 0x7f }

func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune("\"(),/:;<=>?@[\\]{}", r)
	})
}
