package cache

import (
	"crypto/sha256"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	ranges "dtpx/range"
)

// A signed URL is somebody's leave to read, so what is behind it is not offered to
// neighbours. But sites that store their files elsewhere send everybody to such a
// URL, who has shown nothing: then it is everybody's leave. That is known of a link
// if it was the answer to a request without credentials, or with a token that a
// registry gives to anybody who asks (Docker's token authentication), and if the
// content has a digest: Hugging Face gives one with the redirect, and the storage of
// OCI registries has it in the URL. Without one a neighbour's bytes could not be
// checked, and a path that holds a secret may redirect as well.

// open remembers links and tokens that anybody can have, by their hash, for a while.
type open struct {
	mu     sync.Mutex
	links  map[[32]byte]time.Time // guarded by mu, like the other; when they came
	tokens map[[32]byte]time.Time
}

const (
	// openTime is how long a link leads to what everybody may have: longer than
	// until a client follows it, shorter than until the site has second thoughts.
	openTime = time.Hour
	openMax  = 4096
	// tokenMax is for a token's answer, of bytes.
	tokenMax = 64 << 10
)

func note(m *map[[32]byte]time.Time, what string, now time.Time) {
	if *m == nil {
		*m = map[[32]byte]time.Time{}
	}
	for k, at := range *m {
		if len(*m) < openMax && now.Sub(at) < openTime {
			break
		}
		delete(*m, k)
	}
	(*m)[sha256.Sum256([]byte(what))] = now
}

func noted(m map[[32]byte]time.Time, what string, now time.Time) bool {
	at, ok := m[sha256.Sum256([]byte(what))]
	return ok && now.Sub(at) < openTime
}

func linkName(u *url.URL) string {
	bare := *u
	bare.Fragment, bare.RawFragment = "", ""
	return bare.String()
}

// open reports that v asks for a signed URL that everybody is sent to.
func (v *visit) open() bool {
	if !v.req.Key.Signed || ranges.ByPerson(v.in.Header) {
		return false
	}
	o := &v.c.open
	o.mu.Lock()
	defer o.mu.Unlock()
	return noted(o.links, linkName(v.in.URL), v.c.o.Now())
}

// noteLink notes that the answer to v leads to a signed URL.
func (v *visit) noteLink(to *url.URL) {
	if !strings.EqualFold(v.in.URL.Scheme, "https") || !strings.EqualFold(to.Scheme, "https") || !v.anybody() {
		return
	}
	o := &v.c.open
	o.mu.Lock()
	defer o.mu.Unlock()
	note(&o.links, linkName(to), v.c.o.Now())
}

// anybody reports that v shows nothing but what anybody can.
func (v *visit) anybody() bool {
	h := v.in.Header.Clone()
	auth := h.Values("Authorization")
	h.Del("Authorization")
	if ranges.ByPerson(h) || len(auth) > 1 {
		return false
	}
	if len(auth) == 0 {
		return true
	}
	scheme, token, _ := strings.Cut(auth[0], " ")
	o := &v.c.open
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.EqualFold(scheme, "Bearer") && noted(o.tokens, strings.TrimSpace(token), v.c.o.Now())
}

// watchToken returns resp's body, or one that notes the token in it: a registry's,
// for reading, that was given for nothing.
func (v *visit) watchToken(resp *http.Response) io.ReadCloser {
	q := v.in.URL.Query()
	if !v.c.sociable() || v.in.Method != http.MethodGet || resp.StatusCode != http.StatusOK || resp.ContentLength > tokenMax ||
		!strings.HasPrefix(q.Get("scope"), "repository:") || q.Get("account") != "" ||
		!strings.EqualFold(v.in.URL.Scheme, "https") || ranges.ByPerson(v.in.Header) || resp.Header.Get("Content-Encoding") != "" {
		return resp.Body
	}
	return &tokenBody{ReadCloser: resp.Body, done: v.noteToken}
}

func (v *visit) noteToken(answer []byte) {
	var said struct {
		Token  string `json:"token"`
		Access string `json:"access_token"`
	}
	if json.Unmarshal(answer, &said) != nil {
		return
	}
	o := &v.c.open
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, t := range []string{said.Token, said.Access} {
		if t != "" {
			note(&o.tokens, t, v.c.o.Now())
		}
	}
}

// tokenBody gives its bytes to done when it has been read whole.
type tokenBody struct {
	io.ReadCloser
	b    []byte
	done func([]byte) // nil: has been called, or there are too many
}

func (t *tokenBody) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	if t.done == nil {
		return n, err
	}
	if t.b = append(t.b, p[:n]...); len(t.b) > tokenMax {
		t.b, t.done = nil, nil
	} else if err == io.EOF {
		t.done(t.b)
		t.b, t.done = nil, nil
	}
	return n, err
}
