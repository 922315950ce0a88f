package group

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"
)

const (
	secretSize = 16

	// Adverts and certificates let a stranger guess offline, at about a tenth
	// of a second a guess and core: 16 characters are four or five words.
	minPhrase   = 16
	minDistinct = 8 // "aaaaaaaaaaaaaaaa" is no passphrase

	// RFC 9106 §4, second recommendation: for machines without 2 GiB to spare.
	// Part of the key schedule: changing one changes every typed secret.
	argonTime    = 3
	argonMemory  = 64 << 10 // KiB
	argonThreads = 4
)

// hidden are bytes that fmt cannot show. It prints unexported fields without
// asking their methods and, for verbs like %s, even what a pointer points to;
// of a function only the address.
type hidden func() []byte

func hide(b []byte) hidden {
	b = slices.Clone(b)
	return func() []byte { return b }
}

// Secret is what members know and never send.
type Secret struct{ b hidden }

// NewSecret makes 128 random bits.
func NewSecret() Secret {
	b := make([]byte, secretSize)
	rand.Read(b)
	return secretOf(b)
}

func secretOf(b []byte) Secret { return Secret{hide(b)} }

// IsZero reports whether there is no secret.
func (s Secret) IsZero() bool { return s.b == nil }

// Equal reports whether s and o are the same secret.
func (s Secret) Equal(o Secret) bool {
	if s.IsZero() || o.IsZero() {
		return s.IsZero() == o.IsZero()
	}
	return subtle.ConstantTimeCompare(s.b(), o.b()) == 1
}

// Format never shows the secret, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, "(secret)") }

// stretch makes a typed phrase expensive to guess. The name is the salt, so
// that one table does not serve for all groups.
func stretch(name, phrase string) (Secret, error) {
	if !utf8.ValidString(phrase) {
		return Secret{}, errors.New("passphrase is not valid UTF-8")
	}
	// People type one blank or two, and see no difference.
	phrase = strings.Join(strings.Fields(norm.NFC.String(phrase)), " ")
	if err := strong(phrase); err != nil {
		return Secret{}, err
	}
	salt := sha256.Sum256([]byte("dtpx group passphrase 1\x00" + name))
	return secretOf(argon2.IDKey([]byte(phrase), salt[:16], argonTime, argonMemory, argonThreads, secretSize)), nil
}

func strong(phrase string) error {
	const remedy = "use five random words, or let `dtpx group new` make a secret"
	if n := utf8.RuneCountInString(phrase); n < minPhrase {
		return fmt.Errorf("passphrase has %d characters and needs %d: %s", n, minPhrase, remedy)
	}
	seen := map[rune]bool{}
	for _, r := range phrase {
		seen[r] = true
	}
	if len(seen) < minDistinct {
		return fmt.Errorf("passphrase has %d different characters and needs %d: %s", len(seen), minDistinct, remedy)
	}
	return nil
}
