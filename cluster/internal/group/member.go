package group

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Kinds of streams on the peer port, told apart by ALPN.
const (
	Relay  = "dtpx-relay/1"
	Gossip = "dtpx-gossip/1"
	Cache  = "dtpx-cache/1"
)

// Kinds are all of them.
func Kinds() []string { return []string{Relay, Gossip, Cache} }

// Member is this node's part in a group. It is safe for concurrent use. A new
// secret is a new Member; connections made with the old one are the caller's
// to close, as are those of a node that is blocked.
type Member struct {
	keys    *Keys // write-once, as all but leaf
	key     NodeKey
	id      NodeID
	now     func() time.Time
	blocked func(NodeID) bool

	mu     sync.Mutex
	leaf   *tls.Certificate
	minted time.Time
}

// NewMember joins a node's key to a group's keys. blocked is asked in every
// handshake, before the peer has proven that it has the key, and may be nil.
func NewMember(keys *Keys, key NodeKey, now func() time.Time, blocked func(NodeID) bool) (*Member, error) {
	if keys == nil || key.IsZero() {
		return nil, errors.New("group member needs the group's keys and a node key")
	}
	if blocked == nil {
		blocked = func(NodeID) bool { return false }
	}
	m := &Member{keys: keys, key: key, id: key.ID(), now: now, blocked: blocked}
	if _, err := m.certificate(); err != nil {
		return nil, err // by such a clock it would be in no group, and say nothing
	}
	return m, nil
}

// ID is this node's identity.
func (m *Member) ID() NodeID { return m.id }

// Format never shows a key, whatever the verb.
func (m *Member) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "member %s", m.id.Short()) }

// certificate is the leaf of now. A clock set back counts as an old leaf: it
// may lie in the future now.
func (m *Member) certificate() (*tls.Certificate, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	if age := now.Sub(m.minted); m.leaf != nil && 0 <= age && age < mintNext {
		return m.leaf, nil
	}
	leaf, err := m.keys.mint(m.key, now)
	if err != nil {
		return nil, err
	}
	m.leaf, m.minted = leaf, now
	return leaf, nil
}

// ServerConfig accepts members for the kinds given, none for all Kinds.
func (m *Member) ServerConfig(kinds ...string) *tls.Config {
	if len(kinds) == 0 {
		kinds = Kinds()
	}
	c := m.config(kinds, nil)
	c.ClientAuth = tls.RequireAnyClientCert // VerifyConnection verifies it
	c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return m.certificate() }
	return c
}

// ClientConfig connects to a member for one kind of stream: to the node want,
// or to any where it is nil. In TLS 1.3 a client is done before the server has
// judged it: a refusal by the server is the error of the first read.
func (m *Member) ClientConfig(want *NodeID, kind string) *tls.Config {
	if want != nil {
		want = new(*want) // the caller may change theirs
	}
	c := m.config([]string{kind}, want)
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return m.certificate() }
	// crypto/tls would check host names and serverAuth, and members have
	// neither. VerifyConnection verifies instead, and before our own
	// certificate is sent.
	c.InsecureSkipVerify = true
	return c
}

func (m *Member) config(kinds []string, want *NodeID) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: slices.Clone(kinds),
		Time:       m.now,
		// No tickets: who resumes has not shown a certificate of today's secret.
		SessionTicketsDisabled: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			return m.admit(state, kinds, want)
		},
	}
}

// admit is the one place that decides who is a member.
func (m *Member) admit(state tls.ConnectionState, kinds []string, want *NodeID) error {
	if len(state.PeerCertificates) == 0 {
		return &Refusal{Reason: NoCertificate}
	}
	if state.Version < tls.VersionTLS13 {
		return &Refusal{Reason: OldTLS}
	}
	id, err := m.keys.identify(state.PeerCertificates[0], m.now())
	switch {
	case err != nil:
		return err
	case m.blocked(id):
		return &Refusal{Reason: Blocked, Node: id}
	case want != nil && id != *want:
		return &Refusal{Reason: WrongNode, Node: id}
	case !slices.Contains(kinds, state.NegotiatedProtocol): // crypto/tls lets no ALPN pass
		return &Refusal{Reason: NoProtocol, Node: id}
	}
	return nil
}

// Itself reports that the other end of a connection whose handshake is done is this
// very Member, or says which it is not: a machine that was cloned with this one's state
// has its key, but a leaf of its own.
func (m *Member) Itself(state tls.ConnectionState) (bool, error) {
	id, err := PeerID(state)
	if err != nil || id != m.id {
		return false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.leaf == nil || !m.leaf.Leaf.Equal(state.PeerCertificates[0]) {
		return false, &Refusal{Reason: Cloned, Node: id}
	}
	return true, nil
}

// PeerID is who is at the other end of a connection whose handshake is done
// with a Member's configuration. It may be this node itself, or a machine
// cloned with its state: see Itself.
func PeerID(state tls.ConnectionState) (NodeID, error) {
	if !state.HandshakeComplete || len(state.PeerCertificates) == 0 {
		return NodeID{}, errors.New("connection has no verified peer yet")
	}
	return idOf(state.PeerCertificates[0].PublicKey)
}
