package rules

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Algorithms of a Digest, by their names in RFC 9530.
const (
	SHA256 = "sha-256"
	SHA512 = "sha-512"
)

// Digest is a cryptographic hash of a representation as it is transferred and
// stored, content coding included. The zero Digest is none.
type Digest struct {
	Algo string // SHA256 or SHA512
	Hex  string // lower case
}

// Hash makes the hash that d is one of. d must not be zero.
func (d Digest) Hash() hash.Hash {
	if d.Algo == SHA512 {
		return sha512.New()
	}
	return sha256.New()
}

// mostDigest bounds a field with digests: a SHA-512 is 88 characters, and a
// sender has no reason for more than some algorithms.
const mostDigest = 2 << 10

// NewDigest checks that hexadecimal is a hash of the algorithm's length.
func NewDigest(algo, hexadecimal string) (Digest, bool) {
	want := map[string]int{SHA256: 64, SHA512: 128}[algo]
	if len(hexadecimal) != want || strings.Trim(hexadecimal, "0123456789abcdef") != "" {
		return Digest{}, false
	}
	return Digest{algo, hexadecimal}, true
}

// digestInPath reads the paths that name content by its hash: blobs of OCI
// registries, /v2/<name>/blobs/sha256:<hex>, where these keep them, and apt's
// /by-hash/SHA256/<hex>. MD5 and SHA-1 are no identity.
func digestInPath(path string) Digest {
	dir, last := cutLast(path)
	if algo, sum, ok := strings.Cut(last, ":"); ok {
		name, isBlob := strings.CutSuffix(dir, "/blobs")
		of, isV2 := strings.CutPrefix(name, "/v2/")
		if !isBlob || !(isV2 && isName(of) || name == gitHubStore) {
			return Digest{}
		}
		d, _ := NewDigest(map[string]string{"sha256": SHA256, "sha512": SHA512}[algo], sum)
		return d
	}
	if last == "data" {
		return storedBlob(dir)
	}
	dir, algo := cutLast(dir)
	if strings.HasSuffix(dir, "/by-hash") {
		d, _ := NewDigest(map[string]string{"SHA256": SHA256, "SHA512": SHA512}[algo], last)
		return d
	}
	return Digest{}
}

// gitHubStore is where ghcr.io redirects to, at pkg-containers.githubusercontent.com.
const gitHubStore = "/ghcr1"

// storedBlob reads the layout of the registry that Docker Hub and others run on
// their storage: <root>/docker/registry/v2/blobs/sha256/<two digits>/<hex>, and
// then /data (distribution/distribution, registry/storage/paths.go).
func storedBlob(dir string) Digest {
	dir, sum := cutLast(dir)
	dir, two := cutLast(dir)
	if !strings.HasSuffix(dir, "/docker/registry/v2/blobs/sha256") || !strings.HasPrefix(sum, two) || len(two) != 2 {
		return Digest{}
	}
	d, _ := NewDigest(SHA256, sum)
	return d
}

func cutLast(path string) (dir, last string) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", path
	}
	return path[:i], path[i+1:]
}

// isName is a repository's name in the OCI distribution specification, loosely.
func isName(s string) bool {
	return s != "" && s[0] != '/' && s[len(s)-1] != '/' && !strings.Contains(s, "//") && !strings.Contains(s, "..") &&
		strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789._-/") == ""
}

// Digests are the hashes that the origin vouches for in resp, the answer to a
// request for target: Repr-Digest (RFC 9530), which covers the representation
// with its content coding, and Digest (RFC 3230), which is believed only where
// there is no coding, because senders disagree about that. Over plain http nobody
// vouches. Of an algorithm with two values there is none.
func Digests(target *url.URL, resp Response) []Digest {
	if !strings.EqualFold(target.Scheme, "https") {
		return nil
	}
	var found []Digest
	switch resp.Status {
	case http.StatusOK:
		found = reprDigest(resp.Header)
		if !has(resp.Header, "Content-Encoding") {
			found = append(found, legacyDigest(resp.Header)...)
		}
	case http.StatusPartialContent, http.StatusNotModified:
		found = reprDigest(resp.Header)
	}
	return agreed(found)
}

// reprDigest reads a dictionary of byte sequences: sha-256=:base64:.
func reprDigest(h http.Header) (found []Digest) {
	for _, m := range digestMembers(h["Repr-Digest"]) {
		algo, value, _ := strings.Cut(m, "=")
		value, _, _ = strings.Cut(value, ";")
		value = strings.TrimRight(value, " \t")
		if len(value) < 2 || value[0] != ':' || value[len(value)-1] != ':' {
			continue
		}
		if d, ok := base64Digest(algo, value[1:len(value)-1]); ok {
			found = append(found, d)
		}
	}
	return found
}

// legacyDigest reads SHA-256=base64.
func legacyDigest(h http.Header) (found []Digest) {
	for _, m := range digestMembers(h["Digest"]) {
		algo, value, _ := strings.Cut(m, "=")
		if d, ok := base64Digest(strings.ToLower(algo), value); ok {
			found = append(found, d)
		}
	}
	return found
}

func digestMembers(lines []string) (members []string) {
	n := 0
	for _, l := range lines {
		if n += len(l); n > mostDigest {
			return nil
		}
		members = append(members, listMembers(l)...)
	}
	return members
}

func base64Digest(algo, value string) (Digest, bool) {
	sum, err := base64.StdEncoding.Strict().DecodeString(value)
	if err != nil {
		return Digest{}, false
	}
	return NewDigest(algo, hex.EncodeToString(sum))
}

// agreed keeps the algorithms for which there is one value.
func agreed(found []Digest) (kept []Digest) {
	for i, d := range found {
		contradicts := func(o Digest) bool { return o.Algo == d.Algo && o.Hex != d.Hex }
		if !slices.ContainsFunc(found, contradicts) && !slices.Contains(found[:i], d) {
			kept = append(kept, d)
		}
	}
	return kept
}

// LinkedDigest is the SHA-256 that Hugging Face gives with a redirect from its
// site to its storage: X-Linked-Etag, in quotes; a file that is no LFS object has
// a Git hash there, which is none. It is believed of nobody else: otherwise any
// site could vouch for another one's files by redirecting there.
func LinkedDigest(from, to *url.URL, status int, h http.Header) (Digest, bool) {
	lines := h["X-Linked-Etag"]
	if status < 300 || status > 399 || len(lines) != 1 || !https(from, to) {
		return Digest{}, false
	}
	at, target := lowerASCII(from.Hostname()), lowerASCII(to.Hostname())
	if at != "huggingface.co" || target != at && !strings.HasSuffix(target, "."+at) && !strings.HasSuffix(target, ".hf.co") {
		return Digest{}, false
	}
	n := len(lines[0])
	if n < 2 || lines[0][0] != '"' || lines[0][n-1] != '"' {
		return Digest{}, false
	}
	return NewDigest(SHA256, lines[0][1:n-1])
}

func https(urls ...*url.URL) bool {
	for _, u := range urls {
		if !strings.EqualFold(u.Scheme, "https") {
			return false
		}
	}
	return true
}
