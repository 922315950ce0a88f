package group

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func makeGroup(t testing.TB, name string) Group {
	t.Helper()
	g, err := New(name, false)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func makeKeys(t testing.TB, g Group) *Keys {
	t.Helper()
	k, err := g.Keys()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestNames(t *testing.T) {
	for _, tt := range []struct{ in, out, err string }{
		{"hostel", "hostel", ""},
		{"  The Hostel ", "The Hostel", ""},
		{"u\u0308ber", "über", ""},
		{strings.Repeat("a", 32), strings.Repeat("a", 32), ""},
		{"", "", "empty"},
		{" \t", "", "empty"},
		{strings.Repeat("ü", 17), "", "34 bytes"},
		{"a\x00b", "", "cannot be seen"},
		{"a\u200bb", "", "cannot be seen"},
		{"a\nb", "", "cannot be seen"},
		{"\xff", "", "UTF-8"},
	} {
		got, err := CleanName(tt.in)
		if got != tt.out || !says(err, tt.err) {
			t.Errorf("%q: %q, %v", tt.in, got, err)
		}
	}
}

// says: err contains text, or is nil where there is none.
func says(err error, text string) bool {
	if text == "" || err == nil {
		return text == "" && err == nil
	}
	return strings.Contains(err.Error(), text)
}

func TestPassphrases(t *testing.T) {
	for _, tt := range []struct{ phrase, err string }{
		{"", "0 characters and needs 16: use five random words"},
		{"password", "8 characters and needs 16"},
		{"a         b         c", "5 characters"}, // blanks do not help
		{"ababababababababab", "2 different characters"},
		{"\xff\xfe", "UTF-8"},
	} {
		if _, err := FromPassphrase("hostel", tt.phrase, false); !says(err, tt.err) {
			t.Errorf("%q: %v", tt.phrase, err)
		} else if tt.phrase != "" && strings.Contains(err.Error(), tt.phrase) {
			t.Errorf("%v shows the phrase", err)
		}
	}
	phrase := func(name, text string) Secret {
		g, err := FromPassphrase(name, text, false)
		if err != nil {
			t.Fatal(err)
		}
		return g.Secret
	}
	one := phrase("hostel", "correct horse bättery staple")
	if !one.Equal(phrase("hostel ", " correct  horse ba\u0308ttery staple\n")) {
		t.Error("spelling of the same phrase matters")
	}
	if one.Equal(phrase("hostel2", "correct horse bättery staple")) || one.Equal(phrase("hostel", "Correct horse bättery staple")) {
		t.Error("another name or phrase gives the same secret")
	}
}

func TestAnotherSecretOrNameChangesEveryKey(t *testing.T) {
	base := makeGroup(t, "hostel")
	renamed := Group{Name: "Hostel", Secret: base.Secret}
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	all := func(g Group) []string {
		k := makeKeys(t, g)
		lookup := k.Lookup("https://example.com/")
		return []string{string(k.ca()), string(k.GossipKeys()[0]), k.Tag(at), string(lookup[:]), string(k.tag()), string(k.lookup())}
	}
	seen := map[string]bool{}
	for _, g := range []Group{base, renamed, makeGroup(t, "hostel")} {
		for i, key := range all(g) {
			if seen[key] {
				t.Errorf("%v: key %d is not new", g, i)
			}
			seen[key] = true
		}
	}
	trusted := base
	trusted.Trusted = true
	if fmt.Sprint(all(trusted)) != fmt.Sprint(all(base)) {
		t.Error("the trusted flag is a member's own and changes keys")
	}
	if !bytes.Equal(makeKeys(t, base).caCert.Raw, makeKeys(t, base).caCert.Raw) {
		t.Error("two members have different CA certificates")
	}
}

func TestKeysNeedAWholeGroup(t *testing.T) {
	for _, g := range []Group{{}, {Name: "hostel"}, {Secret: NewSecret()}, {Name: " hostel", Secret: NewSecret()}} {
		if _, err := g.Keys(); err == nil {
			t.Errorf("%v has keys", g)
		}
		if _, err := g.Code(); err == nil {
			t.Errorf("%v has a code", g)
		}
	}
}

// A member whose clock is wrong by days is found, and then refused with the reason.
func TestTagsOfOtherDays(t *testing.T) {
	k, other := makeKeys(t, makeGroup(t, "hostel")), makeKeys(t, makeGroup(t, "hostel"))
	now := time.Date(2026, 3, 1, 0, 10, 0, 0, time.FixedZone("", 3600)) // still February in UTC
	for days, want := range map[int]bool{-367: false, -366: true, -1: true, 0: true, 1: true, 40: true, 367: false} {
		tag := k.Tag(now.AddDate(0, 0, days))
		if k.IsTag(tag, now) != want {
			t.Errorf("%+d days: %v", days, !want)
		}
		if other.IsTag(tag, now) {
			t.Errorf("%+d days: another group knows the tag", days)
		}
	}
	if k.Tag(now) == k.Tag(now.AddDate(0, 0, 1)) || k.Tag(now) != k.Tag(now.Add(-time.Hour)) {
		t.Error("tags change daily")
	}
	if k.IsTag("", now) {
		t.Error("the empty tag is of the group")
	}
}

// No verb of fmt, no logger, and no encoder shows a secret, a node key or a
// group's key, also where they are in a field of somebody else's struct.
func TestSecretsDoNotShow(t *testing.T) {
	g := makeGroup(t, "hostel")
	key := NewNodeKey()
	keys := makeKeys(t, g)
	m, err := NewMember(keys, key, time.Now, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.certificate(); err != nil {
		t.Fatal(err)
	}
	code, _ := g.Code()
	f := File{Group: g, Key: key}
	type theirs struct {
		group  Group
		key    NodeKey
		secret Secret
		keys   *Keys
		member *Member
		File   File
	}
	var out bytes.Buffer
	things := []any{g, &g, g.Secret, key, keys, *keys, m, f, &f, []Secret{g.Secret}, map[string]Group{"a": g},
		theirs{g, key, g.Secret, keys, m, f}, &theirs{g, key, g.Secret, keys, m, f}, fmt.Errorf("x: %w", errors.New(fmt.Sprint(f)))}
	for _, thing := range things {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			fmt.Fprintf(&out, verb, thing)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "thing", thing)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "thing", thing)
		json.NewEncoder(&out).Encode(thing)
	}
	shown := strings.ToLower(out.String())
	for name, secret := range map[string][]byte{
		"secret": g.Secret.b(), "node key": key.seed(), "ca": keys.ca(), "gossip": keys.gossip(), "tag": keys.tag(), "lookup": keys.lookup(),
	} {
		for _, form := range forms(secret) {
			if strings.Contains(shown, strings.ToLower(form)) {
				t.Errorf("the %s got out as %.12s…", name, form)
			}
		}
	}
	if strings.Contains(shown, strings.ToLower(code)) {
		t.Error("the join code got out")
	}
}

// forms are the beginnings of how fmt and encoders write bytes.
func forms(b []byte) []string {
	b = b[:8]
	plain, list, goList := strings.Trim(fmt.Sprint(b), "[]"), strings.ReplaceAll(strings.Trim(fmt.Sprint(b), "[]"), " ", ","), fmt.Sprintf("%#v", b)
	return []string{hex.EncodeToString(b), fmt.Sprintf("% x", b), plain, list, strings.TrimSuffix(strings.TrimPrefix(goList, "[]byte{"), "}")}
}
