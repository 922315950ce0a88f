package group

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// NodeKey is a node's own key, kept by the caller in File. It outlives
// changes of the secret and of the group.
type NodeKey struct{ seed hidden }

// NewNodeKey makes a key.
func NewNodeKey() NodeKey {
	seed := make([]byte, ed25519.SeedSize)
	rand.Read(seed)
	return nodeKeyOf(seed)
}

func nodeKeyOf(seed []byte) NodeKey { return NodeKey{hide(seed)} }

// IsZero reports whether there is no key.
func (k NodeKey) IsZero() bool { return k.seed == nil }

// Format never shows the key, whatever the verb.
func (k NodeKey) Format(f fmt.State, _ rune) { fmt.Fprint(f, "(node key)") }

func (k NodeKey) private() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(k.seed()) }

// ID is the identity that the key proves.
func (k NodeKey) ID() NodeID {
	id, err := idOf(k.private().Public())
	if err != nil {
		panic("group: Ed25519 key: " + err.Error()) // it always marshals
	}
	return id
}

// NodeID is who a node is: the SHA-256 of its public key (SubjectPublicKeyInfo).
type NodeID [sha256.Size]byte

// idText is base 32 in lower case: 52 characters that survive file systems,
// URLs and people who read them out. Distinct from join codes by length.
var idText = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

const idChars = 52

// String is the form that ParseNodeID reads.
func (id NodeID) String() string { return idText.EncodeToString(id[:]) }

// Short is the beginning of String, enough for people to tell members apart
// and no more: 40 bits can be forged.
func (id NodeID) Short() string { return id.String()[:8] }

// MarshalText makes NodeID usable in JSON and as a key of maps there.
func (id NodeID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (id *NodeID) UnmarshalText(b []byte) (err error) {
	*id, err = ParseNodeID(string(b))
	return err
}

// ParseNodeID reads a NodeID; case, blanks and dashes do not matter.
func ParseNodeID(text string) (id NodeID, err error) {
	if len(text) > maxInput {
		return NodeID{}, fmt.Errorf("node key: %d characters are too many", len(text))
	}
	clean := strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || unicode.Is(unicode.Pd, r) {
			return -1
		}
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, text)
	for i, r := range clean {
		if (r < 'a' || r > 'z') && (r < '2' || r > '7') {
			return NodeID{}, fmt.Errorf("node key: %q after %d characters does not occur in keys", r, i)
		}
	}
	if len(clean) != idChars {
		return NodeID{}, fmt.Errorf("node key has %d characters instead of %d", len(clean), idChars)
	}
	b, err := idText.DecodeString(clean)
	if err != nil {
		return NodeID{}, fmt.Errorf("read node key: %w", err)
	}
	copy(id[:], b)
	if id.String() != clean { // 4 bits are left over
		return NodeID{}, errors.New("node key: its last character is mistyped")
	}
	return id, nil
}

func idOf(public any) (NodeID, error) {
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return NodeID{}, err
	}
	return sha256.Sum256(spki), nil
}
