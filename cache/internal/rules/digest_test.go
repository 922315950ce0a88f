package rules

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

func TestDigestInPath(t *testing.T) {
	h256, h512 := strings.Repeat("0f", 32), strings.Repeat("0f", 64)
	for _, c := range []struct {
		path string
		want Digest
	}{
		{"/v2/library/debian/blobs/sha256:" + h256, Digest{SHA256, h256}},
		{"/v2/a/blobs/sha512:" + h512, Digest{SHA512, h512}},
		{"/debian/dists/sid/main/binary-amd64/by-hash/SHA256/" + h256, Digest{SHA256, h256}},
		{"/by-hash/SHA512/" + h512, Digest{SHA512, h512}},
		{"/v2/a/manifests/sha256:" + h256, Digest{}}, // varies by Accept
		{"/ghcr1/blobs/sha256:" + h256, Digest{SHA256, h256}},
		{"/registry-v2/docker/registry/v2/blobs/sha256/" + h256[:2] + "/" + h256 + "/data", Digest{SHA256, h256}},
		{"/docker/registry/v2/blobs/sha256/" + h256[:2] + "/" + h256 + "/data", Digest{SHA256, h256}},
		{"/docker/registry/v2/blobs/sha256/zz/" + h256 + "/data", Digest{}},
		{"/docker/registry/v2/blobs/sha256/" + h256 + "/data", Digest{}},
		{"/docker/registry/v2/blobs/sha256/" + h256[:2] + "/" + h256[:63] + "/data", Digest{}},
		{"/docker/registry/v2/blobs/sha256/" + h256[:2] + "/" + h256 + "/link", Digest{}},
		{"/blobs/sha256/" + h256[:2] + "/" + h256 + "/data", Digest{}},
		{"/data", Digest{}},
		{"/v2/blobs/sha256:" + h256, Digest{}},
		{"/v2//blobs/sha256:" + h256, Digest{}},
		{"/v2/../blobs/sha256:" + h256, Digest{}},
		{"/v2/A/blobs/sha256:" + h256, Digest{}},
		{"/x/v2/a/blobs/sha256:" + h256, Digest{}},
		{"/v2/a/blobs/sha256:" + strings.ToUpper(h256), Digest{}},
		{"/v2/a/blobs/sha256:" + h256[1:], Digest{}},
		{"/v2/a/blobs/sha256:" + h256 + "/", Digest{}},
		{"/v2/a/blobs/md5:" + h256[:32], Digest{}},
		{"/v2/a/blobs/sha256:" + h512, Digest{}},
		{"/dists/by-hash/MD5Sum/" + h256[:32], Digest{}},
		{"/dists/by-hash/SHA1/" + h256[:40], Digest{}},
		{"/dists/by-hash/sha256/" + h256, Digest{}},
		{"/dists/xby-hash/SHA256/" + h256, Digest{}},
		{"/" + h256, Digest{}}, {"", Digest{}}, {"/", Digest{}},
	} {
		if got := digestInPath(c.path); got != c.want {
			t.Errorf("%s: %v", c.path, got)
		}
	}
}

func TestDigests(t *testing.T) {
	sum, other := sha256.Sum256([]byte("a")), sha256.Sum256([]byte("b"))
	long := sha512.Sum512([]byte("a"))
	b64 := base64.StdEncoding.EncodeToString
	d, o, l := Digest{SHA256, hex.EncodeToString(sum[:])}, Digest{SHA256, hex.EncodeToString(other[:])}, Digest{SHA512, hex.EncodeToString(long[:])}
	repr := "Repr-Digest: sha-256=:" + b64(sum[:]) + ":"
	legacy := "Digest: SHA-256=" + b64(sum[:])
	for _, c := range []struct {
		url    string
		status int
		header string
		want   []Digest
	}{
		{plain, 200, repr, []Digest{d}},
		{plain, 206, repr, []Digest{d}},
		{plain, 304, repr, []Digest{d}},
		{plain, 200, repr + "|Content-Encoding: gzip", []Digest{d}}, // of the coded bytes
		{plain, 200, repr + ";x=1, sha-512=:" + b64(long[:]) + ":, md5=:AAAA:", []Digest{d, l}},
		{plain, 200, repr + "|" + repr + "|" + legacy, []Digest{d}},
		{plain, 200, repr + "|Repr-Digest: sha-256=:" + b64(other[:]) + ":", nil},
		{plain, 200, "Repr-Digest: sha-256=:" + b64(other[:]) + ":|" + legacy, nil},
		{plain, 200, "Repr-Digest: sha-256=:" + b64(other[:]) + ":", []Digest{o}},
		{plain, 200, legacy, []Digest{d}},
		{plain, 200, legacy + "|Content-Encoding: gzip", nil},
		{plain, 206, legacy, nil},
		{plain, 404, repr, nil},
		{plain, 302, repr, nil},
		{"http://example.org/file", 200, repr, nil},
		{plain, 200, "Repr-Digest: sha-256=" + b64(sum[:]), nil},
		{plain, 200, "Repr-Digest: SHA-256=:" + b64(sum[:]) + ":", nil}, // keys are lower case
		{plain, 200, "Repr-Digest: sha-256=:" + b64(sum[:31]) + ":", nil},
		{plain, 200, "Repr-Digest: sha-256=:" + strings.TrimRight(b64(sum[:]), "=") + ":", nil},
		{plain, 200, "Repr-Digest: sha-256=::", nil},
		{plain, 200, "Repr-Digest: sha-256=:", nil},
		{plain, 200, "Content-Digest: sha-256=:" + b64(sum[:]) + ":", nil},
		{plain, 200, repr + "," + strings.Repeat(" ", mostDigest), nil},
	} {
		if got := Digests(parse(t, c.url), answer(c.status, c.header)); fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s %d %s: %v, want %v", c.url, c.status, c.header, got, c.want)
		}
	}
}

func TestLinkedDigest(t *testing.T) {
	sum := strings.Repeat("0a", 32)
	for _, c := range []struct {
		from, to string
		status   int
		header   string
		want     bool
	}{
		{"https://huggingface.co/a/resolve/main/m", "https://cas-bridge.xethub.hf.co/x?Signature=s", 302, `X-Linked-ETag: "` + sum + `"`, true},
		{"https://huggingface.co/a/resolve/main/m", "https://cdn-lfs.huggingface.co/x", 302, `X-Linked-ETag: "` + sum + `"`, true},
		{"https://huggingface.co/a/resolve/main/m", "https://huggingface.co/x", 307, `X-Linked-ETag: "` + sum + `"`, true},
		{"https://evil.example/", "https://cdn-lfs.huggingface.co/x", 302, `X-Linked-ETag: "` + sum + `"`, false},
		{"https://huggingface.co/", "https://example.org/x", 302, `X-Linked-ETag: "` + sum + `"`, false},
		{"https://huggingface.co/", "https://nothuggingface.co/x", 302, `X-Linked-ETag: "` + sum + `"`, false},
		{"http://huggingface.co/", "https://huggingface.co/x", 302, `X-Linked-ETag: "` + sum + `"`, false},
		{"https://huggingface.co/", "http://huggingface.co/x", 302, `X-Linked-ETag: "` + sum + `"`, false},
		{"https://huggingface.co/", "https://huggingface.co/x", 200, `X-Linked-ETag: "` + sum + `"`, false},
		{"https://huggingface.co/", "https://huggingface.co/x", 302, `X-Linked-ETag: "` + sum[:40] + `"`, false},
		{"https://huggingface.co/", "https://huggingface.co/x", 302, "X-Linked-ETag: " + sum, false},
		{"https://huggingface.co/", "https://huggingface.co/x", 302, `X-Linked-ETag: W/"` + sum + `"`, false},
		{"https://huggingface.co/", "https://huggingface.co/x", 302, `X-Linked-ETag: "`, false},
		{"https://huggingface.co/", "https://huggingface.co/x", 302, `X-Linked-ETag: "` + sum + `"|X-Linked-ETag: "` + sum + `"`, false},
		{"https://huggingface.co/", "https://huggingface.co/x", 302, "", false},
	} {
		d, ok := LinkedDigest(parse(t, c.from), parse(t, c.to), c.status, fields(c.header))
		if ok != c.want || ok && d != (Digest{SHA256, sum}) {
			t.Errorf("%+v: %v %v", c, d, ok)
		}
	}
}
