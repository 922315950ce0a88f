package group

import (
	"strings"
	"testing"
)

func code(t testing.TB, g Group) string {
	t.Helper()
	c, err := g.Code()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCodeKeepsTheGroup(t *testing.T) {
	for n := 1; n <= maxName; n++ {
		g := makeGroup(t, strings.Repeat("n", n))
		g.Trusted = n%2 == 0
		got, err := ParseCode(code(t, g))
		if err != nil || got.Name != g.Name || got.Trusted != g.Trusted || !got.Secret.Equal(g.Secret) {
			t.Errorf("%d bytes of name: %v, %v", n, got, err)
		}
	}
}

func TestCodeAsPeopleTypeIt(t *testing.T) {
	g := Group{Name: "hostel", Secret: secretOf(make([]byte, secretSize))} // full of 0
	c := code(t, g)
	for name, typed := range map[string]string{
		"lower case":   strings.ToLower(c),
		"blanks":       "  " + strings.ReplaceAll(c, "-", " ") + "\r\n",
		"no dashes":    strings.ReplaceAll(c, "-", ""),
		"chat's dash":  strings.ReplaceAll(c, "-", "–"),
		"hard blanks":  strings.ReplaceAll(c, "-", "\u00a0"),
		"line breaks":  strings.ReplaceAll(c, "-", "\n"),
		"in quotes":    "“`" + c + "`”.",
		"in bold":      "**" + c + "**",
		"minus signs":  strings.ReplaceAll(c, "-", "\u2212"),
		"unseen marks": "\ufeff\u200e" + strings.ReplaceAll(c, "-", "-\u200b") + "\u2060",
		"soft hyphens": strings.ReplaceAll(c, "-", "\u00ad"),
		"O instead of": strings.ReplaceAll(c, "0", "O"),
		"l instead of": strings.ReplaceAll(c, "1", "l"),
	} {
		if got, err := ParseCode(typed); err != nil || !got.Secret.Equal(g.Secret) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCodeMistakesAreNamed(t *testing.T) {
	g := Group{Name: "hostel", Secret: secretOf([]byte("0123456789abcdef"))}
	c := code(t, g) // ten groups
	groups := strings.Split(c, "-")
	for _, tt := range []struct{ name, typed, err string }{
		{"nothing", "", "empty"},
		{"blanks", " - ", "empty"},
		{"few", c[:4], "4 characters are not even its first group"},
		{"one group missing", strings.Join(groups[:len(groups)-1], "-"), "45 of 50 characters: the end is missing"},
		{"last character missing", c[:len(c)-1], "49 of 50 characters: the end is missing"},
		{"first character missing", c[1:], "group 1 of five characters is mistyped"},
		{"group in the middle missing", strings.Join(append(append([]string{}, groups[:3]...), groups[4:]...), "-"), "group 4 of five"},
		{"too long", c + "-" + c, "group 11 of five"},
		{"one more", c + "0", "51 characters where it should end after 50"},
		{"groups swapped", strings.Join(append([]string{groups[0], groups[2], groups[1]}, groups[3:]...), "-"), "group 2 of five"},
		{"foreign character", "U" + c[1:], `'U' after 0 characters`},
		{"foreign script", c[:5] + "é" + c[6:], `'é' after 5 characters`},
		{"not UTF-8", c[:3] + "\xff", "after 3 characters"},
		{"endless", strings.Repeat("0", 5000), "too many"},
		{"a newer version", newerCode(), "newer version"},
	} {
		if _, err := ParseCode(tt.typed); !says(err, tt.err) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func newerCode() string {
	data := []byte{0b01000, 0, 0, 0}
	return spell(append(data, checkSymbol(0, data)))
}

// Every single wrong character and every swap of two neighbours within a group
// is found and told by its group.
func TestCodeFindsEveryTypo(t *testing.T) {
	c := strings.ReplaceAll(code(t, makeGroup(t, "hostel")), "-", "")
	check := func(typed string, at int) {
		t.Helper()
		_, err := ParseCode(typed)
		if err == nil {
			t.Fatalf("typo at %d not found", at)
		}
		if want := "group " + string(rune('1'+at/groupChars)); at < 45 && !strings.Contains(err.Error(), want) {
			t.Errorf("typo at %d: %v", at, err)
		}
	}
	for at := range c {
		for _, r := range alphabet {
			if byte(r) != c[at] {
				check(c[:at]+string(r)+c[at+1:], at)
			}
		}
		if at%groupChars > 0 && c[at-1] != c[at] {
			check(c[:at-1]+c[at:at+1]+c[at-1:at]+c[at+1:], at)
		}
	}
}

func TestTruncatedCodes(t *testing.T) {
	c := code(t, makeGroup(t, "Ferienhaus Müller"))
	for n := range len(c) {
		if _, err := ParseCode(c[:n]); err == nil {
			t.Errorf("%d of %d characters are a code", n, len(c))
		}
	}
}

func FuzzParseCode(f *testing.F) {
	f.Add("")
	f.Add(newerCode())
	for _, name := range []string{"a", "hostel", strings.Repeat("n", maxName)} {
		f.Add(code(f, makeGroup(f, name)))
	}
	f.Fuzz(func(t *testing.T, text string) {
		g, err := ParseCode(text)
		if err != nil {
			return
		}
		again, err := ParseCode(code(t, g))
		if err != nil || again.Name != g.Name || again.Trusted != g.Trusted || !again.Secret.Equal(g.Secret) {
			t.Errorf("%q is not its own code", text)
		}
	})
}
