package rules

import (
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"
)

const sigV4 = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=K%2F20260101&X-Amz-Date=20260101T000000Z&X-Amz-Expires=300&X-Amz-SignedHeaders=host&X-Amz-Signature=ab"

func TestKeyOf(t *testing.T) {
	for _, c := range []struct{ url, want string }{
		{"HTTP://Example.ORG:80", "http://example.org/"},
		{"https://example.org:443/a", "https://example.org/a"},
		{"https://example.org:/a", "https://example.org/a"},
		{"https://example.org:0443/a", "https://example.org/a"},
		{"https://example.org:80/a", "https://example.org:80/a"},
		{"http://example.org:443/a", "http://example.org:443/a"},
		{"https://[2001:DB8::1]:443/a", "https://[2001:db8::1]/a"},
		{"https://[2001:DB8::1]:8443/a", "https://[2001:db8::1]:8443/a"},
		{"https://example.org/a#frag", "https://example.org/a"},
		{"https://example.org/a?", "https://example.org/a?"},
		{"https://example.org/a?b=%2f&c", "https://example.org/a?b=%2F&c"},
		{"https://example.org/%7euser/%e2%82%ac", "https://example.org/%7Euser/%E2%82%AC"},
		{"https://example.org/~user", "https://example.org/~user"},
		{"https://example.org/a/../b/./c//d", "https://example.org/a/../b/./c//d"},
		{"https://example.org/a%2Fb", "https://example.org/a%2Fb"},
		{"https://example.org/A", "https://example.org/A"},
		{"https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"},
		{"https://example.org./", "https://example.org./"},
		{"https://example.org/a;v=1?x=1;y=2", "https://example.org/a;v=1?x=1;y=2"},
		{"https://example.org/a?utm=1&b&&c=", "https://example.org/a?utm=1&b&&c="},
	} {
		k, err := KeyOf(parse(t, c.url), nil)
		if err != nil || k.ID != c.want || k.Signed {
			t.Errorf("%s: %+v %v, want %s", c.url, k, err, c.want)
		}
	}
	for _, u := range []*url.URL{
		{}, {Scheme: "ftp", Host: "h", Path: "/"}, {Scheme: "http", Opaque: "x"}, {Scheme: "http", Path: "/"},
		{Scheme: "http", Host: "h/x", Path: "/"}, {Scheme: "http", Host: "h?x", Path: "/"}, {Scheme: "http", Host: "h x", Path: "/"},
		{Scheme: "http", Host: "a@h", Path: "/"}, {Scheme: "http", Host: "h:x", Path: "/"}, {Scheme: "http", Host: "h:0", Path: "/"},
		{Scheme: "http", Host: "a:b:80", Path: "/"}, {Scheme: "http", Host: "[::1", Path: "/"}, {Scheme: "http", Host: "[]", Path: "/"},
		{Scheme: "http", Host: "h", Path: "x"}, {Scheme: "http", Host: "h", Path: "/", RawQuery: "a b"}, {Scheme: "http", Host: "h", Path: "/", RawQuery: "a\r\nb"},
		{Scheme: "http", Host: "h", Path: "/", RawQuery: "a#b"}, {Scheme: "http", Host: "h", Path: "/" + strings.Repeat("a", mostKey)},
	} {
		if k, err := KeyOf(u, nil); err == nil {
			t.Errorf("%+v has key %q", u, k.ID)
		}
	}
}

func TestSigned(t *testing.T) {
	cloudFront := "Policy=p&Signature=s&Key-Pair-Id=k"
	azure := "sp=r&sv=2022-11-02&sr=b&spr=https&se=2026-01-01T00%3A00%3A00Z&skoid=1&sig=a%3D"
	for _, c := range []struct{ query, rest string }{
		{sigV4, ""},
		{sigV4 + "&X-Amz-Security-Token=t", ""},
		{sigV4 + "&response-content-disposition=attachment%3b&x-id=GetObject", "response-content-disposition=attachment%3B&x-id=GetObject"},
		{"versionId=3&" + sigV4, "versionId=3"},
		{strings.ReplaceAll(sigV4, "X-Amz", "X-Goog"), ""},
		{"GoogleAccessId=a&Expires=1&Signature=s&generation=5", "generation=5"},
		{"AWSAccessKeyId=a&Expires=1&Signature=s", ""},
		{cloudFront + "&v=2", "v=2"},
		{"Expires=1&Signature=s&Key-Pair-Id=k", ""},
		{"response-content-type=a&Expires=1&" + cloudFront, "response-content-type=a"},
		{sigV4 + "&X-Xet-Cas-Uid=public&x-id=GetObject&Expires=1&" + cloudFront, "X-Xet-Cas-Uid=public&x-id=GetObject"},
		{azure + "&jwt=e.y.J&response-content-type=a", "response-content-type=a"},
		{azure + "&rscd=attachment&snapshot=1", "rscd=attachment&snapshot=1"},
	} {
		k, err := KeyOf(parse(t, plain+"?"+c.query), nil)
		want := "signed " + plain
		if c.rest != "" {
			want += "?" + c.rest
		}
		if err != nil || !k.Signed || k.ID != want {
			t.Errorf("%s: %+v %v", c.query, k, err)
		}
	}
	for _, q := range []string{
		strings.Replace(sigV4, "X-Amz-Signature=ab", "", 1),
		strings.Replace(sigV4, "X-Amz-Signature=ab", "X-Amz-Signature=", 1),
		strings.ToLower(sigV4),
		strings.Replace(sigV4, "X-Amz-Date", "X%2DAmz-Date", 1),
		sigV4 + "&X-Amz-Signature=cd", // which one counts?
		"AWSAccessKeyId=a&Signature=s", "Expires=1&Signature=s", "GoogleAccessId=a&Expires=1",
		"Signature=s&Key-Pair-Id=k", "jwt=e.y.J",
		"sig=a&sv=1", "sig=a&se=1", "sv=1&se=1", "token=secret", "X-Amz-Signature=ab",
	} {
		k, err := KeyOf(parse(t, plain+"?"+q), nil)
		if err != nil || k.Signed || k.ID != plain+"?"+upperEscapes(q) {
			t.Errorf("%s: %+v %v", q, k, err)
		}
	}
}

func TestKeyRules(t *testing.T) {
	rules := []KeyRule{{Host: "*.CDN.example", Drop: []string{"utm_*", "t?ken"}}, {Host: "one.example", Drop: []string{"*"}}}
	for _, r := range rules {
		if err := r.Validate(); err != nil {
			t.Error(err)
		}
	}
	for _, c := range []struct{ url, want string }{
		{"https://a.cdn.example:8443/f?utm_source=x&a=1&token=9", "https://a.cdn.example:8443/f?a=1"},
		{"https://cdn.example/f?utm_source=x", "https://cdn.example/f?utm_source=x"},
		{"https://a.cdn.example/f?tokens=1", "https://a.cdn.example/f?tokens=1"},
		{"https://one.example/f?a=1&b=2", "https://one.example/f"},
		{"https://one.example/f", "https://one.example/f"},
		{"https://a.cdn.example/f?utm_x=1&Policy=p&Signature=s&Key-Pair-Id=k", "signed https://a.cdn.example/f"},
	} {
		if k, err := KeyOf(parse(t, c.url), rules); err != nil || k.ID != c.want {
			t.Errorf("%s: %q %v, want %q", c.url, k.ID, err, c.want)
		}
	}
	for _, r := range []KeyRule{
		{}, {Host: "h"}, {Drop: []string{"a"}}, {Host: "h", Drop: []string{""}}, {Host: "https://h", Drop: []string{"a"}},
		{Host: "h", Drop: []string{"a=b"}}, {Host: "h", Drop: []string{"a&b"}}, {Host: "h:80", Drop: []string{"a"}}, {Host: "h h", Drop: []string{"a"}},
		{Host: "*", Drop: []string{"utm_*", "*"}}, {Host: "*.*", Drop: []string{"**"}}, {Host: strings.Repeat("h", 129), Drop: []string{"a"}},
		{Host: "h", Drop: make([]string, 65)},
	} {
		if r.Validate() == nil {
			t.Errorf("%+v is taken", r)
		}
	}
	if err := (KeyRule{Host: "*", Drop: []string{"utm_*"}}).Validate(); err != nil {
		t.Error(err)
	}
}

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true}, {"", "a", false}, {"*", "", true}, {"*", "abc", true}, {"a*c", "abbc", true}, {"a*c", "abbd", false},
		{"a?c", "abc", true}, {"a?c", "ac", false}, {"*a*b", "xaxbxb", true}, {"*a*b*", "ba", false}, {"**a", "a", true}, {"a", "aa", false},
	} {
		if glob(c.pattern, c.s) != c.want {
			t.Errorf("%q %q", c.pattern, c.s)
		}
	}
}

// Two URLs have one key if and only if they differ in nothing but the case of
// scheme, host and escapes, the default port, and the fragment.
func TestKeysMeanTheSame(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		raw := randomURL(rnd)
		same := disguise(raw)
		other := spoil(rnd, raw)
		a, b, c := keyID(t, raw), keyID(t, same), keyID(t, other)
		if a != b {
			t.Fatalf("%s and %s: %q, %q", raw, same, a, b)
		}
		if a == c {
			t.Fatalf("%s and %s: %q", raw, other, a)
		}
	}
}

func keyID(t *testing.T, raw string) string {
	t.Helper()
	k, err := KeyOf(parse(t, raw), nil)
	if err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return k.ID
}

const urlParts = "ab/.~%2F%7E=&;+,:@"

func randomURL(rnd *rand.Rand) string {
	text := func() (s string) {
		for range rnd.IntN(12) {
			if c := urlParts[rnd.IntN(len(urlParts))]; c == '%' || c >= '0' && c <= '9' || c == 'F' || c == 'E' {
				s += []string{"%2F", "%7E", "%25"}[rnd.IntN(3)]
			} else {
				s += string(c)
			}
		}
		return s
	}
	return []string{"http", "https"}[rnd.IntN(2)] + "://h" + string(rune('a'+rnd.IntN(26))) + ".example/" + text() + "?" + text()
}

// disguise changes what does not count.
func disguise(raw string) string {
	scheme, rest, _ := strings.Cut(raw, "://")
	host, path, _ := strings.Cut(rest, "/")
	port := map[string]string{"http": ":80", "https": ":443"}[scheme]
	for _, e := range []string{"%2F", "%7E"} {
		path = strings.ReplaceAll(path, e, strings.ToLower(e))
	}
	return strings.ToUpper(scheme) + "://" + strings.ToUpper(host) + port + "/" + path + "#x"
}

// spoil changes one thing that counts.
func spoil(rnd *rand.Rand, raw string) string {
	at := strings.Index(raw, ".example/") + len(".example/")
	switch i := at + rnd.IntN(len(raw)-at+1); rnd.IntN(4) {
	case 0:
		return raw + "x"
	case 1:
		return strings.Replace(raw, ".example", ".example:8080", 1)
	case 2:
		if strings.HasPrefix(raw, "https") {
			return "http" + raw[5:]
		}
		return "https" + raw[4:]
	default:
		for raw[i-1] == '%' || i > 1 && raw[i-2] == '%' {
			i++ // not inside an escape
		}
		return raw[:i] + "x" + raw[i:]
	}
}
