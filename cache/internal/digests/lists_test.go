package digests_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"dtpx/cache/internal/digests"
	"dtpx/cache/internal/rules"
)

func hash(n int) string { return fmt.Sprintf("%064x", n) }

func fields(kind string) http.Header { return http.Header{"Content-Type": {kind}} }

var sri = "sha512-" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 64))

// said is what a list says, as "URL digest"; "" where it is no list.
func said(t *testing.T, doc string, h http.Header, body []byte) map[string]string {
	t.Helper()
	u, err := url.Parse(doc)
	if err != nil {
		t.Fatal(err)
	}
	l, ok := digests.Find(u, h)
	if !ok {
		return nil
	}
	all, err := l.Read(bytes.NewReader(body), h.Get("Content-Encoding"), nil)
	if err != nil {
		t.Errorf("%s: %v", doc, err)
	}
	m := map[string]string{}
	for _, s := range all {
		if !strings.HasPrefix(s.ID, l.Base()) {
			t.Errorf("%s speaks for %s, of which %s is no part", doc, l.Base(), s.ID)
		}
		m[s.ID] = s.Digest.Hex
	}
	return m
}

func TestLists(t *testing.T) {
	packages := "Package: a\nFilename: pool/main/a/a_1.0+b~1_amd64.deb\nSize: 5\nSHA256: " + hash(1) + "\nDescription-md5: 0\n\n" +
		"Package: b\nSHA256: " + hash(2) + "\nFilename: ./pool/b.deb\n\nPackage: c\nFilename: ../../evil.deb\nSHA256: " + hash(3) +
		"\n\nPackage: d\nFilename: /pool/d.deb\nSHA256: " + hash(4) + "\n\nPackage: e\nFilename: e.deb\nSHA256: 12\n\n" +
		"Package: f\nFilename: //other/f.deb\nSHA256: " + hash(5) + "\n\nPackage: g\nFilename: https://other/g.deb\nSHA256: " + hash(6)
	inPool := map[string]string{
		"http://deb.example/debian/pool/main/a/a_1.0+b~1_amd64.deb": hash(1), "http://deb.example/debian/pool/b.deb": hash(2),
		"http://deb.example/debian/https://other/g.deb": hash(6),
	}
	release := "Origin: Debian\nMD5Sum:\n 00000000000000000000000000000000 1 main/a\nSHA256:\n " + hash(1) + "   123 main/binary-amd64/Packages.xz\n " +
		hash(2) + " 5 ../../x\nSHA512:\n " + hash(3) + " 1 main/c\n"
	pypi := `{"meta":{"api-version":"1.1"},"name":"x","files":[{"filename":"x.whl","url":"https://files.pythonhosted.org/packages/aa/x.whl","hashes":{"sha256":"` + hash(1) +
		`"},"yanked":false},{"url":"https://evil.example/packages/x.whl","hashes":{"sha256":"` + hash(2) + `"}},{"url":"https://files.pythonhosted.org/packages/../x","hashes":{"sha256":"` + hash(3) + `"}},{"url":"https://files.pythonhosted.org/packages/y","hashes":{}}],"versions":["1"]}`
	simple := `<!DOCTYPE html><html><body><a href="../../packages/aa/x.whl#sha256=` + hash(1) + `" data-x="1">x</a><br/><a class=q href='https://files.pythonhosted.org/packages/bb/y.whl#sha256=` + hash(2) + `'>y</a><a href="z.whl#md5=00">z</a></body></html>`
	npm := `{"_id":"left-pad","versions":{"1.0.0":{"name":"left-pad","dist":{"integrity":"` + sri + `","tarball":"https://registry.npmjs.org/left-pad/-/left-pad-1.0.0.tgz"}},"1.0.1":{"dist":{"shasum":"00","tarball":"https://registry.npmjs.org/left-pad/-/b.tgz"}},"2.0.0":{"dist":{"integrity":"` + sri + `","tarball":"https://registry.npmjs.org/other/-/other-1.0.0.tgz"}}},"time":{"a":[1,{"b":[]}]}}`
	sums := hash(1) + "  a.iso\n" + hash(2) + " *sub/b.iso\n" + hash(3) + "  ../c.iso\n" + hash(4) + "  /d.iso\nSHA256 (e f.iso) = " + hash(5) + "\n# f.iso: 5 bytes\nMD5 (g) = 00\n" + hash(6) + "\nshort  h\n"
	inDir := map[string]string{"https://m.example/iso/a.iso": hash(1), "https://m.example/iso/sub/b.iso": hash(2), "https://m.example/iso/e%20f.iso": hash(5)}
	for _, c := range []struct {
		name, doc string
		h         http.Header
		body      string
		want      map[string]string
	}{
		{"Packages", "http://deb.example/debian/dists/bookworm/main/binary-amd64/Packages", nil, packages, inPool},
		{"Packages by hash", "http://deb.example/debian/dists/bookworm/main/binary-amd64/by-hash/SHA256/" + hash(9), nil, packages, inPool},
		{"Release", "http://deb.example/debian/dists/bookworm/InRelease", nil, release, map[string]string{"http://deb.example/debian/dists/bookworm/main/binary-amd64/Packages.xz": hash(1)}},
		{"a flat repository", "http://deb.example/flat/Packages", nil, "Filename: ./a.deb\nSHA256: " + hash(1) + "\n", map[string]string{"http://deb.example/flat/a.deb": hash(1)}},
		{"another index", "http://deb.example/debian/dists/bookworm/main/Contents-amd64", nil, packages, nil},
		{"SHA256SUMS", "https://m.example/iso/SHA256SUMS", nil, sums, inDir},
		{"CHECKSUM", "https://m.example/iso/Fedora-40-x86_64-CHECKSUM", nil, sums, inDir},
		{"over http", "http://m.example/iso/SHA256SUMS", nil, sums, nil},
		{"with a query", "https://m.example/iso/SHA256SUMS?u=2", nil, sums, nil},
		{"PyPI, JSON", "https://pypi.org/simple/x/", fields("application/vnd.pypi.simple.v1+json"), pypi, map[string]string{"https://files.pythonhosted.org/packages/aa/x.whl": hash(1)}},
		{"PyPI, HTML", "https://pypi.org/simple/x/", fields("text/html; charset=UTF-8"), simple, map[string]string{"https://files.pythonhosted.org/packages/bb/y.whl": hash(2)}},
		{"another index of Python", "https://py.example/simple/x/", fields("text/html"), strings.ReplaceAll(simple, "../../", "/"), map[string]string{"https://py.example/packages/aa/x.whl": hash(1)}},
		{"another index, lower down", "https://py.example/root/simple/x/", fields("text/html"), strings.ReplaceAll(simple, "../../", "/"), map[string]string{}},
		{"npm", "https://registry.npmjs.org/left-pad", fields("application/vnd.npm.install-v1+json"), npm, map[string]string{"https://registry.npmjs.org/left-pad/-/left-pad-1.0.0.tgz": strings.Repeat("07", 64)}},
		{"npm, scoped", "https://npm.example/@a%2fb", fields("application/vnd.npm.install-v1+json"), strings.ReplaceAll(npm, "registry.npmjs.org/left-pad", "npm.example/@a/b"), map[string]string{"https://npm.example/@a/b/-/left-pad-1.0.0.tgz": strings.Repeat("07", 64)}},
		{"npm, plain JSON elsewhere", "https://npm.example/left-pad", fields("application/json"), npm, nil},
		{"any page", "https://m.example/iso/index.html", fields("text/html"), simple, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := said(t, c.doc, c.h, []byte(c.body)); !maps.Equal(got, c.want) || (got == nil) != (c.want == nil) {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

// TestCompressed: a list is read in every form that mirrors have it in.
func TestCompressed(t *testing.T) {
	plain := []byte(strings.Repeat("Package: a\nFilename: a.deb\nSHA256: "+hash(1)+"\n\n", 2000))
	var gz, x, zs bytes.Buffer
	g := gzip.NewWriter(&gz)
	g.Write(plain)
	g.Close()
	xw, _ := xz.NewWriter(&x)
	xw.Write(plain)
	xw.Close()
	zw, _ := zstd.NewWriter(&zs)
	zw.Write(plain)
	zw.Close()
	const doc = "http://deb.example/dists/s/main/binary-all/Packages"
	for name, c := range map[string]struct {
		body   []byte
		coding string
	}{
		"plain": {plain, ""}, ".gz": {gz.Bytes(), ""}, ".xz": {x.Bytes(), ""}, ".zst": {zs.Bytes(), ""}, "coded": {gz.Bytes(), "gzip"},
	} {
		if got := said(t, doc, http.Header{"Content-Encoding": {c.coding}}, c.body); len(got) != 1 || got["http://deb.example/a.deb"] != hash(1) {
			t.Errorf("%s: %v", name, got)
		}
	}
	huge := bytes.Clone(x.Bytes())
	for i := 12; i < 30; i++ { // the property of the filter: a dictionary of 4 GiB
		if huge[i] == 0x21 && huge[i+1] == 1 {
			huge[i+2] = 40
			break
		}
	}
	u, _ := url.Parse(doc)
	l, _ := digests.Find(u, nil)
	if all, err := l.Read(bytes.NewReader(huge), "", nil); err == nil || !strings.Contains(err.Error(), "dictionary") {
		t.Errorf("a dictionary of 4 GiB: %d statements, %v", len(all), err)
	}
}

func FuzzLists(f *testing.F) {
	for _, s := range []string{"Filename: a\nSHA256: " + hash(1) + "\n\n", hash(1) + "  a\n", "SHA256:\n " + hash(1) + " 1 a\n", `{"versions":{"1":{"dist":{"tarball":"-/a","integrity":"` + sri + `"}}}}`,
		`{"files":[{"url":"/packages/a","hashes":{"sha256":"` + hash(1) + `"}}]}`, `<a href="/packages/a#sha256=` + hash(1) + `">`, "\xfd7zXZ\x00\x00\x04\xe6\xd6\xb4F", "\x1f\x8b\x08", "BZh9", "\x28\xb5\x2f\xfd"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		for doc, kind := range map[string]string{
			"http://h/a/dists/s/Release": "", "http://h/a/dists/s/Packages": "", "https://h/a/SHA256SUMS": "",
			"https://pypi.org/simple/x/": "application/vnd.pypi.simple.v1+json", "https://h/simple/x/": "text/html", "https://h/x": "application/vnd.npm.install-v1+json",
		} {
			u, _ := url.Parse(doc)
			l, ok := digests.Find(u, fields(kind))
			if !ok {
				t.Fatal(doc)
			}
			all, _ := l.Read(strings.NewReader(body), "", nil)
			for _, s := range all {
				if _, ok := rules.NewDigest(s.Digest.Algo, s.Digest.Hex); !ok || !strings.HasPrefix(s.ID, l.Base()) || strings.Contains(s.ID, "..") {
					t.Errorf("%s says %v of %q", doc, s.Digest, s.ID)
				}
			}
		}
	})
}

func digest(n int) rules.Digest {
	h := sha256.Sum256([]byte{byte(n), byte(n >> 8)})
	return rules.Digest{Algo: rules.SHA256, Hex: hex.EncodeToString(h[:])}
}
