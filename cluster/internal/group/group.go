// Package group answers who is a member. A group is a name and a secret; who
// knows both can mint certificates that the others admit. Nothing here listens,
// dials, or starts a goroutine.
//
// The key schedule, version 1 (testdata/vectors.json holds it still):
//
//	secret  = 16 random bytes, or of a typed passphrase
//	          argon2id(NFC(phrase), SHA-256("dtpx group passphrase 1\0" name)[:16], t=3, 64 MiB, p=4)
//	root    = HKDF-Extract(SHA-256, secret, salt = "dtpx group 1\0" name)
//	ca      = Ed25519 key from seed HKDF-Expand(root, "dtpx group 1 ca", 32)
//	gossip  = HKDF-Expand(root, "dtpx group 1 gossip", 32)   memberlist's keyring
//	tag key = HKDF-Expand(root, "dtpx group 1 tag", 32)      Tag = HMAC-SHA-256(tag key, "2006-01-02" UTC)[:16]
//	lookup  = HKDF-Expand(root, "dtpx group 1 lookup", 32)   Lookup = HMAC-SHA-256(lookup, URL)
//
// So another secret is another group in every respect. Whether a group is a
// trusted one is each member's own decision and no part of the keys.
//
// Membership only admits. Identity is NodeID, the fingerprint of a node's own
// key, which proves itself in every handshake: a Member mints a short-lived
// leaf for its key, and the TLS configurations admit a leaf of this group's CA
// whose key is the one it names. Every chain is verified afresh: there is no
// session resumption, so neither another secret nor a block is outlived by a
// ticket.
//
// Not guaranteed: that members are different people (whoever has the code can
// make any number of keys), and that a stranger who connects to a member's port
// does not learn its NodeID (TLS servers show their certificate first).
package group

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// maxName is what fits the five bits that a join code has for the length.
const maxName = 32

// Group is what members have in common. The zero Group is none.
type Group struct {
	Name   string
	Secret Secret
	// Trusted: bytes from members' caches count without an origin's digest.
	Trusted bool
}

// New makes a group with a fresh secret.
func New(name string, trusted bool) (Group, error) {
	name, err := CleanName(name)
	if err != nil {
		return Group{}, err
	}
	return Group{Name: name, Secret: NewSecret(), Trusted: trusted}, nil
}

// FromPassphrase makes the group whose secret comes from what a person typed.
// It takes a tenth of a second and 64 MiB, on purpose.
func FromPassphrase(name, phrase string, trusted bool) (Group, error) {
	name, err := CleanName(name)
	if err != nil {
		return Group{}, err
	}
	secret, err := stretch(name, phrase)
	if err != nil {
		return Group{}, err
	}
	return Group{Name: name, Secret: secret, Trusted: trusted}, nil
}

// IsZero reports whether g is no group.
func (g Group) IsZero() bool { return g.Name == "" && g.Secret.IsZero() }

// Format never shows the secret, whatever the verb.
func (g Group) Format(f fmt.State, _ rune) {
	if g.IsZero() {
		fmt.Fprint(f, "no group")
		return
	}
	fmt.Fprintf(f, "group %q", g.Name)
}

func (g Group) check() error {
	if g.Secret.IsZero() {
		return errors.New("group has no secret")
	}
	clean, err := CleanName(g.Name)
	if err == nil && clean != g.Name {
		err = errors.New("group name is not in its clean form")
	}
	return err
}

// CleanName gives the one form of a group's name that keys are derived from:
// NFC (macOS and Linux type ü differently), no space around it. Case counts.
func CleanName(name string) (string, error) {
	if !utf8.ValidString(name) {
		return "", errors.New("group name is not valid UTF-8")
	}
	name = strings.TrimSpace(norm.NFC.String(name))
	switch {
	case name == "":
		return "", errors.New("group name is empty")
	case len(name) > maxName:
		return "", fmt.Errorf("group name has %d bytes: at most %d fit", len(name), maxName)
	case strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return "", errors.New("group name has characters that cannot be seen")
	}
	return name, nil
}
