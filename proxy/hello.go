package proxy

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// clientHello is what we want to know of a TLS ClientHello (RFC 8446 §4.1.2).
type clientHello struct {
	serverName string
	alpn       []string
	modern     bool   // offers TLS 1.2 or later
	shape      string // what kind of client it is, see shapeOf
}

// speaksHTTP tells whether ALPN, if there is any, admits HTTP: "acme-tls/1",
// "dot" or "xmpp-client" are for the origin.
func (h *clientHello) speaksHTTP() bool {
	return len(h.alpn) == 0 || slices.Contains(h.alpn, "h2") || slices.Contains(h.alpn, "http/1.1")
}

// maxHello is far beyond any real one (post-quantum key shares make 2 KiB).
const maxHello = 64 << 10

// peekHello reads as far as needed to tell what the client begins with, and
// returns everything read (head included) so that nothing is lost. hello is
// nil for a client that does not speak TLS, or that waits for the other side.
func peekHello(conn net.Conn, head []byte, wait time.Duration) (all []byte, hello *clientHello, err error) {
	if err := conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, conn.SetReadDeadline(time.Time{})) }()
	all = slices.Clone(head)
	buf := make([]byte, 4096)
	for {
		msg, more := helloMessage(all)
		if !more || len(all) > maxHello {
			h, _ := parseHello(msg)
			return all, h, nil
		}
		n, err := conn.Read(buf)
		all = append(all, buf[:n]...)
		switch {
		case n > 0:
		case errors.Is(err, os.ErrDeadlineExceeded):
			return all, nil, nil
		case errors.Is(err, io.EOF) && len(all) > 0:
			return all, nil, nil // a short message and a half-close; not TLS
		case err != nil:
			return nil, nil, err
		}
	}
}

// helloMessage takes the first handshake message out of TLS records. more
// means that it is a ClientHello so far but not all of it is there; a nil
// message without more, that it is none.
func helloMessage(b []byte) (msg []byte, more bool) {
	for {
		if len(b) > 0 && b[0] != 22 || len(b) > 1 && b[1] != 3 { // handshake, version 3.x
			return nil, false
		}
		if len(b) < 5 {
			return nil, true
		}
		size := int(binary.BigEndian.Uint16(b[3:]))
		if size == 0 || size > 16384 { // RFC 8446 §5.1
			return nil, false
		}
		part := b[5:min(len(b), 5+size)]
		msg = append(msg, part...)
		if len(msg) > 0 && msg[0] != 1 { // client_hello
			return nil, false
		}
		if len(msg) >= 4 {
			want := 4 + int(msg[1])<<16 + int(msg[2])<<8 + int(msg[3])
			if len(msg) >= want {
				return msg[:want], false
			}
		}
		if len(part) < size {
			return nil, true
		}
		b = b[5+size:]
	}
}

const (
	extServerName        = 0
	extGroups            = 10
	extSignatures        = 13
	extALPN              = 16
	extPadding           = 21
	extPreSharedKey      = 41
	extEarlyData         = 42
	extSupportedVersions = 43
	extCookie            = 44
)

// parseHello reads a ClientHello handshake message.
func parseHello(msg []byte) (*clientHello, bool) {
	s := cryptobyte.String(msg)
	var body, session, suites, compression, extensions cryptobyte.String
	var kind uint8
	var version uint16
	if !s.ReadUint8(&kind) || kind != 1 || !s.ReadUint24LengthPrefixed(&body) ||
		!body.ReadUint16(&version) || !body.Skip(32) ||
		!body.ReadUint8LengthPrefixed(&session) || !body.ReadUint16LengthPrefixed(&suites) ||
		!body.ReadUint8LengthPrefixed(&compression) {
		return nil, false
	}
	h := &clientHello{modern: version >= 0x0303}
	if !body.Empty() && !body.ReadUint16LengthPrefixed(&extensions) {
		return nil, false
	}
	ciphers, ok := uint16s(suites)
	if !ok {
		return nil, false
	}
	shape := sha256.New()
	note(shape, version, ciphers)
	kinds, ok := h.readExtensions(extensions, func(kind uint16, values []uint16) { note(shape, kind, values) })
	if !ok {
		return nil, false
	}
	note(shape, 0xffff, kinds)
	for _, p := range h.alpn {
		io.WriteString(shape, p+"\x00")
	}
	h.shape = hex.EncodeToString(shape.Sum(nil)[:8])
	return h, true
}

// readExtensions fills h, tells list about the lists that belong to the shape
// (in order, for a client has one order of them), and returns the kinds sorted.
func (h *clientHello) readExtensions(extensions cryptobyte.String, list func(uint16, []uint16)) (kinds []uint16, ok bool) {
	lists := map[uint16][]uint16{}
	for !extensions.Empty() {
		var kind uint16
		var data cryptobyte.String
		if !extensions.ReadUint16(&kind) || !extensions.ReadUint16LengthPrefixed(&data) {
			return nil, false
		}
		if !grease(kind) && !passing(kind) {
			kinds = append(kinds, kind)
		}
		switch kind {
		case extServerName:
			ok = h.readServerName(data)
		case extALPN:
			ok = h.readALPN(data)
		case extGroups, extSignatures:
			var values cryptobyte.String
			ok = data.ReadUint16LengthPrefixed(&values)
			lists[kind], _ = uint16s(values)
		case extSupportedVersions:
			var values cryptobyte.String
			ok = data.ReadUint8LengthPrefixed(&values)
			lists[kind], _ = uint16s(values)
			h.modern = slices.ContainsFunc(lists[kind], func(v uint16) bool { return v == 0x0303 || v == 0x0304 })
		default:
			ok = true
		}
		if !ok {
			return nil, false
		}
	}
	for _, kind := range []uint16{extGroups, extSignatures, extSupportedVersions} {
		list(kind, lists[kind])
	}
	slices.Sort(kinds) // Chromium shuffles them anew for each connection
	return kinds, true
}

// passing are extensions that one client sends now and not then: on a
// resumption, after a retry, to fill a packet, or for names but not addresses.
func passing(kind uint16) bool {
	switch kind {
	case extServerName, extPadding, extPreSharedKey, extEarlyData, extCookie:
		return true
	}
	return false
}

func (h *clientHello) readServerName(data cryptobyte.String) bool {
	var names cryptobyte.String
	if !data.ReadUint16LengthPrefixed(&names) {
		return false
	}
	for !names.Empty() {
		var kind uint8
		var name cryptobyte.String
		if !names.ReadUint8(&kind) || !names.ReadUint16LengthPrefixed(&name) {
			return false
		}
		if kind == 0 && h.serverName == "" {
			h.serverName = string(name)
		}
	}
	return true
}

func (h *clientHello) readALPN(data cryptobyte.String) bool {
	var names cryptobyte.String
	if !data.ReadUint16LengthPrefixed(&names) {
		return false
	}
	for !names.Empty() {
		var name cryptobyte.String
		if !names.ReadUint8LengthPrefixed(&name) {
			return false
		}
		if len(name) == 2 && grease(binary.BigEndian.Uint16(name)) {
			continue
		}
		h.alpn = append(h.alpn, string(name))
	}
	return true
}

// grease tells the reserved values that clients strew in at random (RFC 8701).
func grease(v uint16) bool { return v&0x0f0f == 0x0a0a && v>>8 == v&0xff }

// uint16s reads a list without its GREASE.
func uint16s(s cryptobyte.String) (out []uint16, ok bool) {
	for !s.Empty() {
		var v uint16
		if !s.ReadUint16(&v) {
			return out, false
		}
		if !grease(v) {
			out = append(out, v)
		}
	}
	return out, true
}

func note(w io.Writer, kind uint16, values []uint16) {
	b := binary.BigEndian.AppendUint16(nil, kind)
	b = binary.BigEndian.AppendUint16(b, uint16(len(values)))
	for _, v := range values {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	_, _ = w.Write(b)
}
