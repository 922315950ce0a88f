package gossip

import (
	"crypto/tls"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"dtpx/cluster/internal/group"
)

type counted struct {
	net.Conn
	sent *atomic.Int64
}

func (c counted) Write(b []byte) (int, error) {
	c.sent.Add(int64(len(b)) + 40)
	return c.Conn.Write(b)
}

// handshakeBytes has to be no less than what a handshake costs.
func TestHandshakeBytes(t *testing.T) {
	g, err := group.New("test", false)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := g.Keys()
	if err != nil {
		t.Fatal(err)
	}
	one := func() *group.Member {
		m, err := group.NewMember(keys, group.NewNodeKey(), time.Now, nil)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	a, b := net.Pipe()
	var sent, got atomic.Int64
	server := tls.Server(counted{b, &got}, one().ServerConfig(group.Gossip))
	client := tls.Client(counted{a, &sent}, one().ClientConfig(nil, group.Gossip))
	go func() {
		io.Copy(io.Discard, server)
		server.Close()
	}()
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	client.CloseWrite()
	io.Copy(io.Discard, client)
	const syns = 4 * 40 // SYN, ACK, FIN, ACK
	t.Logf("handshake and goodbye: client %d bytes, server %d", sent.Load()+syns, got.Load()+syns)
	if max(sent.Load(), got.Load())+syns > handshakeBytes {
		t.Error("handshakeBytes is too low")
	}
}
