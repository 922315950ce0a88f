package group

import (
	"crypto/tls"
	"errors"
	"strings"
)

// Reason is why a handshake failed, in words for the log and as a label for
// counters. Another group and this one with another secret are not told apart:
// certificates carry no group's name, which a port scan would read.
type Reason string

// What this node refuses.
const (
	OtherGroup    Reason = "of another group, or made with another secret"
	NoGroup       Reason = "not a certificate of any dtpx group"
	Expired       Reason = "certificate expired, or a clock is wrong by days"
	NotYetValid   Reason = "certificate from the future: a clock is wrong by days"
	Usage         Reason = "certificate is not for dtpx members"
	Identity      Reason = "certificate names another node than its key's"
	WrongNode     Reason = "another node than expected"
	Blocked       Reason = "node is blocked"
	Cloned        Reason = "another machine has this one's node key, from a copy of its state: remove group.json on one of them and join again"
	Copied        Reason = "certificate without its key: a copy"
	NoCertificate Reason = "no certificate"
	OldTLS        Reason = "no TLS 1.3"
	NoProtocol    Reason = "no common protocol"
	NotTLS        Reason = "not TLS"
)

// What the other side refuses or nobody does.
const (
	RefusedByPeer Reason = "the other side refuses this node: another secret, blocked, or a wrong clock"
	Broken        Reason = "handshake broken off"
)

// Refusal is a handshake that failed by the rules of the group.
type Refusal struct {
	Reason Reason

	// Node is whose key the certificate holds, zero where this group's CA has
	// not signed it. The peer need not have that key: crypto/tls checks its
	// signature last. For the log only; nobody is to be blamed by it.
	Node NodeID

	Err error // what crypto/x509 or crypto/tls said, may be nil
}

func (r *Refusal) Error() string {
	text := string(r.Reason)
	if r.Node != (NodeID{}) {
		text = "node " + r.Node.Short() + ": " + text
	}
	if r.Err != nil {
		text += " (" + r.Err.Error() + ")"
	}
	return text
}

func (r *Refusal) Unwrap() error { return r.Err }

// crypto/tls has no types for these; TestRefusals notices when a new Go
// words them otherwise.
var worded = []struct {
	text   string
	reason Reason
}{
	{"tls: invalid signature by the ", Copied},
	{"tls: client didn't provide a certificate", NoCertificate},
	{"tls: client offered only unsupported versions", OldTLS},
	{"tls: server selected unsupported protocol version", OldTLS},
	{"tls: client requested unsupported application protocols", NoProtocol},
	{"remote error: tls: protocol version not supported", OldTLS},
	{"remote error: tls: no application protocol", NoProtocol},
	{"remote error: tls: certificate required", RefusedByPeer},
	{"remote error: tls: bad certificate", RefusedByPeer},
}

// Explain says why a handshake, or in TLS 1.3 a client's first read after it,
// failed. It is nil for nil.
func Explain(err error) *Refusal {
	if err == nil {
		return nil
	}
	if r, ok := errors.AsType[*Refusal](err); ok {
		return r
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return &Refusal{Reason: NotTLS, Err: err}
	}
	for _, w := range worded {
		if strings.Contains(err.Error(), w.text) {
			return &Refusal{Reason: w.reason, Err: err}
		}
	}
	return &Refusal{Reason: Broken, Err: err}
}
