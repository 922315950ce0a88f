package config

import (
	"errors"
	"os"
	"strings"
	"testing"
)

func FuzzParseSize(f *testing.F) {
	for _, s := range []string{"0", "8MiB", "1.5GiB", "10MB", "1e9B", "99999999999999999999TiB"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseSize(s)
		if err != nil {
			return
		}
		if again, err := ParseSize(n.String()); n < 0 || err != nil || again != n {
			t.Errorf("%q is %d is %v is %d (%v)", s, n, n, again, err)
		}
	})
}

func FuzzParseRate(f *testing.F) {
	for _, s := range []string{"0", "4MiB/s", "20Mbit/s", "1.5kbit/s", "1B/s"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseRate(s)
		if err != nil {
			return
		}
		if again, err := ParseRate(n.String()); n < 0 || err != nil || again != n {
			t.Errorf("%q is %d is %v is %d (%v)", s, n, n, again, err)
		}
	})
}

// Whatever the bytes: a config or complaints with lines, never both or neither.
func FuzzParse(f *testing.F) {
	data, err := os.ReadFile(reference)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	for _, s := range []string{"a: &a [*a]", "<<: {a: b}", "users: {a: 1, a: 2}", "? [a]\n: b", "cluster: {trust: []}", "\xff", "a: !!binary x", "---\n---\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, err := Parse("f", data)
		if err == nil {
			return
		}
		var errs Errors
		if !errors.As(err, &errs) || len(errs) == 0 || len(Changed(Config{}, cfg)) > 0 {
			t.Fatalf("%T %v with %+v", err, err, cfg)
		}
		for _, e := range errs {
			if !strings.HasPrefix(e.Error(), "f:") {
				t.Errorf("no line in %v", e)
			}
		}
	})
}
