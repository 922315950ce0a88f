package digests

import (
	"bufio"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/url"
	"strings"

	"golang.org/x/net/html"

	"dtpx/cache/internal/rules"
)

// npmList is the document of a package in an npm registry. Its files are below
// /NAME/-/ on the same host.
func npmList(doc *url.URL) (*List, bool) {
	name := strings.Trim(doc.Path, "/")
	if name == "" || strings.Contains(name, "/-/") || strings.HasPrefix(name, "-/") {
		return nil, false
	}
	base := &url.URL{Scheme: doc.Scheme, Host: doc.Host, Path: "/" + name + "/-/"}
	return speaksFor(doc, base, readNPM)
}

// readNPM walks the document by tokens: some are of tens of megabytes.
func readNPM(_ *List, r *bufio.Reader, say sayer) error {
	d := json.NewDecoder(r)
	return member(d, "versions", func() error {
		return members(d, func(string) (bool, error) {
			var v struct {
				Dist struct{ Tarball, Integrity string }
			}
			if err := d.Decode(&v); err != nil {
				return false, err
			}
			for _, i := range strings.Fields(v.Dist.Integrity) {
				if sum, ok := integrity(i); ok {
					return say(v.Dist.Tarball, sum), nil
				}
			}
			return true, nil
		})
	})
}

// integrity is a hash of Subresource Integrity: sha512-base64.
func integrity(s string) (rules.Digest, bool) {
	algo, value, _ := strings.Cut(s, "-")
	b, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return rules.Digest{}, false
	}
	return rules.NewDigest(map[string]string{"sha256": rules.SHA256, "sha512": rules.SHA512}[algo], hex.EncodeToString(b))
}

// pypiList is the page of a project in a Python index (PEP 503, PEP 691). PyPI's
// files are on a host of their own; those of others count on the same host only.
func pypiList(doc *url.URL, kind string) (*List, bool) {
	base := &url.URL{Scheme: doc.Scheme, Host: doc.Host, Path: doc.Path[:strings.Index(doc.Path, "/simple/")+1]}
	if doc.Host == "pypi.org" {
		base.Host, base.Path = "files.pythonhosted.org", "/packages/"
	}
	switch kind {
	case "application/vnd.pypi.simple.v1+json":
		return speaksFor(doc, base, readSimpleJSON)
	case "text/html", "application/vnd.pypi.simple.v1+html":
		return speaksFor(doc, base, readSimpleHTML)
	}
	return nil, false
}

func readSimpleJSON(_ *List, r *bufio.Reader, say sayer) error {
	d := json.NewDecoder(r)
	return member(d, "files", func() error {
		if t, err := d.Token(); err != nil || t != json.Delim('[') {
			return err
		}
		for d.More() {
			var f struct {
				URL    string
				Hashes map[string]string
			}
			if err := d.Decode(&f); err != nil {
				return err
			}
			if sum, ok := rules.NewDigest(rules.SHA256, strings.ToLower(f.Hashes["sha256"])); ok && !say(f.URL, sum) {
				return nil
			}
		}
		return nil
	})
}

// readSimpleHTML reads the fragments of links: #sha256=hex.
func readSimpleHTML(_ *List, r *bufio.Reader, say sayer) error {
	z := html.NewTokenizer(r)
	z.SetMaxBuf(mostLine)
	for {
		switch z.Next() {
		case html.ErrorToken:
			if z.Err() == io.EOF {
				return nil
			}
			return z.Err()
		case html.StartTagToken:
			name, more := z.TagName()
			for link := string(name) == "a"; link && more; {
				var key, value []byte
				key, value, more = z.TagAttr()
				if string(key) != "href" {
					continue
				}
				ref, fragment, _ := strings.Cut(string(value), "#")
				hash, _ := strings.CutPrefix(fragment, "sha256=")
				if sum, ok := rules.NewDigest(rules.SHA256, strings.ToLower(hash)); ok && !say(ref, sum) {
					return nil
				}
			}
		}
	}
}

// members calls f at the value of each member of the object that comes next; f
// reads it, and says whether to go on.
func members(d *json.Decoder, f func(name string) (bool, error)) error {
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return err
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return err
		}
		name, _ := t.(string)
		if more, err := f(name); !more || err != nil {
			return err
		}
	}
	_, err := d.Token()
	return err
}

// member calls f at the value of one member, and reads no farther.
func member(d *json.Decoder, want string, f func() error) error {
	return members(d, func(name string) (bool, error) {
		if name == want {
			return false, f()
		}
		return true, skip(d)
	})
}

// skip reads one value.
func skip(d *json.Decoder) error {
	for depth := 0; ; {
		t, err := d.Token()
		if err != nil {
			return err
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}
