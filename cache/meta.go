package cache

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"dtpx/cache/internal/disk"
	"dtpx/cache/internal/rules"
)

// meta is what an entry's record says: the stored response without its bytes.
type meta struct {
	Key       string      `json:"key"` // rules.Key.ID
	Status    int         `json:"status"`
	Header    http.Header `json:"header"`
	Select    http.Header `json:"select,omitempty"`
	Requested time.Time   `json:"requested"`
	Received  time.Time   `json:"received"`
	Realms    []string    `json:"realms"`
	Invalid   bool        `json:"invalid,omitempty"`
	Signed    bool        `json:"signed,omitempty"`
	Open      bool        `json:"open,omitempty"`   // signed, but everybody is given the link
	Public    bool        `json:"public,omitempty"` // its origin has a public address
	Unproven  *unproven   `json:"unproven,omitempty"`
}

func newMeta(key rules.Key, s rules.Stored, realm string) *meta {
	return &meta{
		Key: key.ID, Status: s.Status, Header: s.Header, Select: s.Select, Requested: s.Requested, Received: s.Received,
		Realms: []string{realm}, Invalid: s.Invalid, Signed: key.Signed,
	}
}

// with is m after its response has been refreshed as s, on behalf of a realm.
func (m *meta) with(s *rules.Stored, realm string) *meta {
	n := newMeta(rules.Key{ID: m.Key, Signed: m.Signed}, *s, realm)
	n.Open, n.Public, n.Unproven = m.Open, m.Public, m.Unproven
	for _, r := range m.Realms {
		if !slices.Contains(n.Realms, r) {
			n.Realms = append(n.Realms, r)
		}
	}
	return n
}

// stored is the response as the rules know it.
func (m *meta) stored() rules.Stored {
	return rules.Stored{
		Status: m.Status, Header: m.Header, Select: m.Select, Requested: m.Requested, Received: m.Received,
		Total: -1, Invalid: m.Invalid,
	}
}

func (m *meta) encode() ([]byte, error) {
	n := *m
	n.Key = widen(m.Key)
	n.Header, n.Select = widened(m.Header), widened(m.Select)
	b, err := json.Marshal(&n)
	if err == nil && len(b) > disk.MaxMeta {
		err = errors.New("header section too large to keep")
	}
	return b, err
}

func decodeMeta(b []byte) (*meta, error) {
	m := new(meta)
	if err := json.Unmarshal(b, m); err != nil {
		return nil, err
	}
	if m.Key == "" || m.Status < 200 || m.Status > 599 || m.Header == nil {
		return nil, errors.New("record of an entry is incomplete")
	}
	key, ok := narrow(m.Key)
	if m.Key = key; !ok || !narrowed(m.Header) || !narrowed(m.Select) {
		return nil, errors.New("record of an entry has characters that are no bytes")
	}
	return m, nil
}

// widen makes each byte the character of its value, so that JSON, which is UTF-8,
// keeps what need not be: keys and fields are bytes (RFC 9110 §5.5).
func widen(s string) string {
	if isASCII(s) {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		b.WriteRune(rune(s[i]))
	}
	return b.String()
}

// narrow takes widen back.
func narrow(s string) (string, bool) {
	if isASCII(s) {
		return s, true
	}
	b := make([]byte, 0, len(s))
	for _, r := range s {
		if r > 0xff {
			return "", false
		}
		b = append(b, byte(r))
	}
	return string(b), true
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf })
}

func widened(h http.Header) http.Header {
	h = h.Clone()
	for _, lines := range h {
		for i, l := range lines {
			lines[i] = widen(l)
		}
	}
	return h
}

func narrowed(h http.Header) (ok bool) {
	for _, lines := range h {
		for i, l := range lines {
			if lines[i], ok = narrow(l); !ok {
				return false
			}
		}
	}
	return true
}

// metas remembers what records say: reading one costs more than a small answer.
type metas struct {
	mu sync.Mutex
	by map[disk.ID]parsed // guarded by mu
}

type parsed struct {
	raw []byte // as the store had it
	m   *meta
}

const metasMax = 4096

// of is what e's record says.
func (x *metas) of(e *disk.Entry) (*meta, error) {
	raw := e.Meta()
	x.mu.Lock()
	p, ok := x.by[e.ID()]
	x.mu.Unlock()
	if ok && len(raw) > 0 && len(p.raw) == len(raw) && &p.raw[0] == &raw[0] {
		return p.m, nil
	}
	m, err := decodeMeta(raw)
	if err != nil {
		return nil, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.by == nil {
		x.by = map[disk.ID]parsed{}
	}
	for id := range x.by { // any: they are quickly read again
		if len(x.by) < metasMax {
			break
		}
		delete(x.by, id)
	}
	x.by[e.ID()] = parsed{raw, m}
	return m, nil
}
