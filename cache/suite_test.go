package cache

import (
	"net/http"
	"testing"
	"time"
	"unicode/utf8"
)

// What the public cache-tests suite has shown, or led to, when it was run through
// the proxy. The rules' own part of it is in internal/rules.

// TestObsText: URLs and fields are bytes, mostly UTF-8 but not always (RFC 9110
// §5.5); what is on disk must be the same ones.
func TestObsText(t *testing.T) {
	for name, text := range map[string]string{"Latin-1": "m\xfcller", "UTF-8": "müller", "both": "\xc3\xbc\xff\xc3", "U+FFFD": "\ufffd"} {
		t.Run(name, func(t *testing.T) {
			b, tag := content(1000, 1), `"`+text+`"`
			r := newRig(t, file(b, tag, "Cache-Control", fresh, "Vary", "X-Kind", "X-Text", text))
			r.want(r.get("/f?"+text, "X-Kind", text), 200, b)
			r.again()
			r.requests.Store(0)
			r.body.Store(0)
			a := r.get("/f?"+text, "X-Kind", text)
			r.want(a, 200, b)
			r.cost(0, 0)
			for f, want := range map[string]string{"X-Text": text, "Etag": tag} {
				if got := a.Header.Get(f); got != want {
					t.Errorf("%s is %q, want %q", f, got, want)
				}
			}
			r.want(r.get("/f?"+text, "X-Kind", text, "If-None-Match", tag), http.StatusNotModified, nil)
			r.later(2 * time.Hour)
			r.want(r.get("/f?"+text, "X-Kind", text), 200, b)
			r.cost(1, 0) // it was asked about by its own tag
		})
	}
}

func FuzzOctets(f *testing.F) {
	for _, s := range []string{"", "a", "m\xfcller", "müller", "\xc3", "\u2028", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		w := widen(s)
		if back, ok := narrow(w); !utf8.ValidString(w) || !ok || back != s {
			t.Errorf("%q becomes %q and then %q", s, w, back)
		}
		if _, ok := narrow(s + "\u0100"); ok {
			t.Error("a character is a byte that is none")
		}
	})
}
