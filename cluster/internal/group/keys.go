package group

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"
	"time"
)

const keySize = 32

// Keys are what a group's name and secret give. Write-once, but for what near holds.
type Keys struct {
	ca, gossip, tag, lookup hidden // ca is the seed

	caCert *x509.Certificate
	pool   *x509.CertPool
	near   *tags
}

// tags are those of the days around one.
type tags struct {
	mu  sync.Mutex // guards what follows
	day string
	all map[string]bool
}

// tagDays is how many days off a tag is still known. Members' clocks may differ by two
// (backDate), and somebody whose clock is wrong by months shall be refused for it, which
// is told to people, and not remain unseen.
const tagDays = 366

// Keys derives the group's keys by the schedule in the package comment.
func (g Group) Keys() (*Keys, error) {
	if err := g.check(); err != nil {
		return nil, fmt.Errorf("derive keys: %w", err)
	}
	root, err := hkdf.Extract(sha256.New, g.Secret.b(), []byte("dtpx group 1\x00"+g.Name))
	if err != nil {
		return nil, fmt.Errorf("derive keys: %w", err)
	}
	k := &Keys{near: new(tags)}
	for _, d := range []struct {
		label string
		to    *hidden
	}{{"ca", &k.ca}, {"gossip", &k.gossip}, {"tag", &k.tag}, {"lookup", &k.lookup}} {
		key, err := hkdf.Expand(sha256.New, root, "dtpx group 1 "+d.label, keySize)
		if err != nil {
			return nil, fmt.Errorf("derive %s key: %w", d.label, err)
		}
		*d.to = hide(key)
	}
	if k.caCert, err = makeCA(k.signer()); err != nil {
		return nil, fmt.Errorf("make group CA: %w", err)
	}
	k.pool = x509.NewCertPool()
	k.pool.AddCert(k.caCert)
	return k, nil
}

func (k *Keys) signer() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(k.ca()) }

// Format never shows a key, whatever the verb.
func (k Keys) Format(f fmt.State, _ rune) { fmt.Fprint(f, "(group keys)") }

// GossipKeys is memberlist's keyring, the key to encrypt with first.
func (k *Keys) GossipKeys() [][]byte { return [][]byte{slices.Clone(k.gossip())} }

// Tag is what adverts of the day carry: members know it, and nobody else can
// link it to yesterday's.
func (k *Keys) Tag(day time.Time) string {
	return hex.EncodeToString(mac(k.tag(), day.UTC().Format(time.DateOnly))[:16])
}

// IsTag reports whether tag is of this group, by any clock that is not wrong by more
// than a year.
func (k *Keys) IsTag(tag string, now time.Time) bool {
	t, today := k.near, now.UTC()
	t.mu.Lock()
	defer t.mu.Unlock()
	if day := today.Format(time.DateOnly); t.day != day { // a millisecond, once a day
		t.day, t.all = day, map[string]bool{}
		for d := -tagDays; d <= tagDays; d++ {
			t.all[k.Tag(today.AddDate(0, 0, d))] = true
		}
	}
	return t.all[tag]
}

// Lookup is under what members ask each other for a URL.
func (k *Keys) Lookup(url string) [sha256.Size]byte {
	return [sha256.Size]byte(mac(k.lookup(), url))
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
