package gossip

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"dtpx/cluster/internal/group"
)

// claim is memberlist's alive message, made by hand: msgpack of a map.
type claim struct {
	name string
	at   netip.AddrPort
	meta []byte
	vsn  []byte
}

var spokenVsn = []byte{1, 5, 2, 0, 0, 0}

func (c claim) encode() []byte {
	b := []byte{4, 0x86} // alive, six pairs
	text := func(s string) {
		b = append(binary.BigEndian.AppendUint16(append(b, 0xda), uint16(len(s))), s...)
	}
	text("Incarnation")
	b = append(b, 1)
	text("Node")
	text(c.name)
	text("Addr")
	text(string(c.at.Addr().AsSlice()))
	text("Port")
	b = binary.BigEndian.AppendUint16(append(b, 0xcd), c.at.Port())
	text("Meta")
	text(string(c.meta))
	text("Vsn")
	text(string(c.vsn))
	return b
}

// seal is what a member can do, who has the key: AES-GCM, version 1.
func seal(plain, extra []byte) []byte {
	block, _ := aes.NewCipher(testKeys[0])
	gcm, _ := cipher.NewGCM(block)
	nonce := make([]byte, gcm.NonceSize())
	rand.Read(nonce)
	return gcm.Seal(append([]byte{1}, nonce...), nonce, plain, extra)
}

func (n *node) told(c claim) {
	n.wire.packets <- Packet{Buf: seal(c.encode(), nil), From: c.at}
}

func honest(id group.NodeID, at netip.AddrPort) claim {
	return claim{nodeName(id, newSession()), at, Meta{Name: "evil"}.encode(), spokenVsn}
}

func TestSomebodyClaimsToBeAnother(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := lan(t, newHub(), 4)
		until(t, settle, "all know all", complete(nodes))
		for i := range 20 {
			nodes[0].told(honest(ident(2), addr(500+i)))
			time.Sleep(time.Second)
			m, ok := nodes[0].member(ident(2))
			if !ok || len(m.Addrs) > sessionsMax {
				t.Fatalf("got %+v", m)
			}
			found := false
			for _, a := range m.Addrs {
				found = found || a == addr(2)
			}
			if !found {
				t.Fatalf("the true address is gone: %v", m.Addrs)
			}
		}
		until(t, time.Minute, "only the truth is left", func() bool {
			m, _ := nodes[0].member(ident(2))
			return len(m.Addrs) == 1 && m.Addrs[0] == addr(2) && m.Meta.Name == "laptop"
		})
	})
}

// A node that has proven its key is let in, and comes first, however many lies
// there are.
func TestTheProvenIsNotKeptOut(t *testing.T) {
	now := time.Now()
	c := newContacts()
	b := &book{self: ident(0), contacts: c, entries: map[string]*entry{}}
	try := func(id group.NodeID, at netip.AddrPort) error {
		name := nodeName(id, newSession())
		err := b.admit(name, at, nil, now)
		if err == nil {
			b.joined(name, at, nil)
		}
		return err
	}
	for i := range sessionsMax {
		if err := try(ident(1), addr(100+i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := try(ident(1), addr(1)); err != errSessions {
		t.Errorf("got %v", err)
	}
	for i := range entriesMax - sessionsMax {
		if err := try(ident(1000+i), addr(1000+i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := try(ident(2), addr(2)); err != errFull {
		t.Errorf("got %v", err)
	}
	c.prove(ident(1), addr(1), now)
	if err := try(ident(1), addr(1)); err != nil {
		t.Errorf("got %v", err)
	}
	for _, m := range b.members() {
		if m.ID == ident(1) && (m.Addrs[0] != addr(1) || len(m.Addrs) != sessionsMax) {
			t.Errorf("got %+v", m)
		}
	}
}

func TestMintedIdentities(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := lan(t, newHub(), 3)
		until(t, settle, "all know all", complete(nodes))
		for i := range 1000 {
			nodes[0].told(honest(ident(1000+i), netip.AddrPortFrom(addr(300).Addr(), uint16(1+i))))
			time.Sleep(time.Millisecond)
		}
		if n := len(nodes[0].Members()); n < 2 || n > 2+perAddr {
			t.Errorf("%d members with one address for all the minted", n)
		}
		for i := range 3000 {
			nodes[0].told(honest(ident(10000+i), addr(1000+i)))
			time.Sleep(time.Millisecond)
		}
		if n := len(nodes[0].Members()); n > entriesMax {
			t.Errorf("%d members", n)
		}
		for _, id := range []int{2, 3} {
			if _, ok := nodes[0].member(ident(id)); !ok {
				t.Errorf("node %d is gone", id)
			}
		}
		c := nodes[0].contacts
		c.mu.Lock()
		defer c.mu.Unlock()
		if n := len(c.gone); n > goneMax {
			t.Errorf("%d gone", n)
		}
	})
}

func TestBadClaims(t *testing.T) {
	id := ident(7)
	good := honest(id, addr(7))
	with := func(f func(*claim)) claim { c := good; f(&c); return c }
	at := func(a string) claim {
		return with(func(c *claim) { c.at = netip.AddrPortFrom(netip.MustParseAddr(a), 4711) })
	}
	bad := map[string]claim{
		"no session":          with(func(c *claim) { c.name = id.String() }),
		"other spelling":      with(func(c *claim) { c.name = " " + c.name }),
		"long session":        with(func(c *claim) { c.name += "a" }),
		"session in capitals": with(func(c *claim) { c.name = nodeName(id, "ABCDEFGHIJKLM") }),
		"garbage":             with(func(c *claim) { c.name = "\x00\xff" }),
		"empty":               with(func(c *claim) { c.name = "" }),
		"much metadata":       with(func(c *claim) { c.meta = make([]byte, metaMax+1) }),
		"odd versions":        with(func(c *claim) { c.vsn = []byte{5, 5, 5, 0, 0, 0} }),
		"odd delegate":        with(func(c *claim) { c.vsn = []byte{1, 5, 2, 9, 9, 9} }),
		"no versions":         with(func(c *claim) { c.vsn = nil }),
		"loopback":            at("127.0.0.1"),
		"multicast":           at("224.0.0.251"),
		"broadcast":           at("255.255.255.255"),
		"unspecified":         at("0.0.0.0"),
		"v6 link-local":       at("fe80::1"),
		"v6 multicast":        at("ff02::fb"),
		"v6 loopback":         at("::1"),
		"mapped loopback":     at("::ffff:127.0.0.1"),
	}
	bubble(t, func(t *testing.T) {
		nodes := lan(t, newHub(), 2)
		for what, c := range bad {
			nodes[0].told(c)
			time.Sleep(10 * time.Millisecond)
			if n := len(nodes[0].Members()); n != 1 {
				t.Errorf("%s: taken", what)
			}
		}
		nodes[0].told(good)
		time.Sleep(10 * time.Millisecond)
		if n := len(nodes[0].Members()); n != 2 {
			t.Error("a good one was not taken: the test is wrong")
		}
		until(t, 3*time.Second, "lists can still be compared", func() bool { _, err := nodes[1].Join(addr(1)); return err == nil })
	})
}

// An encrypted stream without content ends memberlist v0.7.0's process, and one
// may promise 4 GB.
func TestBadStreams(t *testing.T) {
	sealed := func(plain []byte) []byte {
		b := binary.BigEndian.AppendUint32([]byte{encryptMsg}, uint32(len(plain)+encryptedNone))
		return append(b, seal(plain, b)...)
	}
	for what, b := range map[string][]byte{
		"empty":         sealed(nil),
		"garbage":       bytes.Repeat([]byte("garbage!"), 1000),
		"plain":         {6, 0, 0, 0, 1, 1, 1},
		"promises 4 GB": {encryptMsg, 255, 255, 255, 255, 1},
		"old padding":   {encryptMsg, 0, 0, 0, 45, 0},
		"short":         {encryptMsg, 0},
		"wrong key":     append([]byte{encryptMsg, 0, 0, 0, 60, 1}, make([]byte, 59)...),
		"nonsense":      sealed([]byte{99, 1, 2, 3}),
		"nothing":       nil,
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := newHub().node(t, 1)
				here, far := net.Pipe()
				n.wire.streams <- memConn{far, n.wire, n.wire, addr(9)}
				here.SetDeadline(time.Now().Add(10 * time.Second))
				go here.Write(b)
				begin := time.Now()
				buf := make([]byte, 4096)
				for {
					if _, err := here.Read(buf); err != nil {
						break
					}
				}
				if took := time.Since(begin); took > 2*streamTimeout {
					t.Errorf("held for %v", took)
				}
				if len(n.Members()) != 0 {
					t.Error("somebody was taken")
				}
			})
		})
	}
}

func TestStreamsOfOneAreFew(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := lan(t, newHub(), 2)
		var held []net.Conn
		for range 10 {
			here, far := net.Pipe()
			nodes[0].wire.streams <- memConn{far, nodes[0].wire, nodes[0].wire, addr(9)}
			held = append(held, here)
		}
		time.Sleep(time.Second)
		closed := 0
		for _, c := range held {
			c.SetReadDeadline(time.Now().Add(time.Millisecond))
			if _, err := c.Read(make([]byte, 1)); err != nil && !isTimeout(err) {
				closed++
			}
		}
		if closed != 10-streamsOfOne {
			t.Errorf("%d of 10 closed", closed)
		}
		if k, err := nodes[1].Join(addr(1)); k != 1 {
			t.Errorf("others are kept out: %v", err)
		}
	})
}

func isTimeout(err error) bool {
	ne, ok := err.(net.Error)
	return ok && ne.Timeout()
}

func TestPacketFlood(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := lan(t, newHub(), 3)
		until(t, settle, "all know all", complete(nodes))
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		garbage := make([]byte, 1400)
		rand.Read(garbage)
		for i := range 50000 { // five seconds
			garbage[0] = byte(i % 3)
			select {
			case nodes[0].wire.packets <- Packet{Buf: bytes.Clone(garbage), From: addr(9)}:
			default:
			}
			time.Sleep(100 * time.Microsecond)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 8<<20 {
			t.Errorf("grown by %d bytes", grown)
		}
		if !complete(nodes)() {
			t.Error("members were lost")
		}
	})
}

func FuzzPacket(f *testing.F) {
	f.Add(honest(ident(1), addr(1)).encode())
	f.Add([]byte{7, 2, 0, 1, 0, 1, 0, 0})
	n := newHub().node(f, 1)
	f.Fuzz(func(t *testing.T, b []byte) {
		n.wire.packets <- Packet{Buf: seal(b, nil), From: addr(2)}
	})
}
