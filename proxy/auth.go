package proxy

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/crypto/bcrypt"
)

// maxLogins bounds the memory of passwords that were right.
const maxLogins = 1024

// logins checks names and passwords. bcrypt costs 60 ms and more by design, so
// a pair that was right is remembered as a keyed hash.
type logins struct {
	users map[string]string // name to bcrypt hash; write-once
	key   []byte            // write-once
	decoy string            // write-once: compared with where there is no such user, or the clock would tell names
	slots chan struct{}     // how many bcrypts run at once: guessing must not eat the machine

	mu    sync.Mutex
	right map[[sha256.Size]byte]bool // guarded by mu
}

func newLogins(users map[string]string) *logins {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails, says crypto/rand
	decoy := ""
	for _, hash := range users {
		decoy = hash
	}
	return &logins{
		users: users, key: key, decoy: decoy, right: make(map[[sha256.Size]byte]bool),
		slots: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
	}
}

func (l *logins) check(name, password string) bool {
	hash, known := l.users[name]
	if !known {
		hash = l.decoy
	}
	id := l.id(name, password, hash)
	if l.remembered(id) {
		return true
	}
	l.slots <- struct{}{}
	err := bcrypt.CompareHashAndPassword([]byte(hash), []byte(password))
	<-l.slots
	if err != nil || !known {
		return false
	}
	l.remember(id)
	return true
}

func (l *logins) id(parts ...string) (id [sha256.Size]byte) {
	mac := hmac.New(sha256.New, l.key)
	for _, p := range parts {
		mac.Write([]byte(p))
		mac.Write([]byte{0})
	}
	mac.Sum(id[:0])
	return id
}

func (l *logins) remembered(id [sha256.Size]byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.right[id]
}

func (l *logins) remember(id [sha256.Size]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.right) >= maxLogins {
		clear(l.right)
	}
	l.right[id] = true
}

// authenticate applies Users. Who has the token needs no name. It answers the
// request itself if it says no.
func (s *Server) authenticate(w http.ResponseWriter, r *http.Request, c Client) (Client, bool) {
	if len(s.Users) == 0 {
		return c, true
	}
	name, password, ok := basicAuth(r.Header.Get("Proxy-Authorization"))
	if ok && name == "" && s.isToken(password) {
		return c, true // the owner's own programs: dtpx get
	}
	if ok && s.logins.check(name, password) {
		c.User = name
		return c, true
	}
	w.Header().Set("Proxy-Authenticate", `Basic realm="dtpx", charset="UTF-8"`)
	s.refuse(w, r, problem{http.StatusProxyAuthRequired, "http_request_denied", "this proxy wants a user name and a password"})
	return c, false
}

// basicAuth reads RFC 7617 credentials.
func basicAuth(field string) (name, password string, ok bool) {
	scheme, encoded, ok := strings.Cut(field, " ")
	if !ok || !strings.EqualFold(scheme, "Basic") {
		return "", "", false
	}
	plain, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	if err != nil {
		return "", "", false
	}
	return strings.Cut(string(plain), ":")
}
