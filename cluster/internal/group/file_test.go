package group

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func savedFile(t testing.TB) (path string, f File) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "group.json")
	f = File{Group: Group{Name: "Ferienhaus Müller", Secret: NewSecret(), Trusted: true}, Key: NewNodeKey(), Blocked: []NodeID{NewNodeKey().ID(), NewNodeKey().ID()}}
	if err := f.Save(path); err != nil {
		t.Fatal(err)
	}
	return path, f
}

func TestFileKeepsWhatItIsGiven(t *testing.T) {
	path, f := savedFile(t)
	stranger := NewNodeKey().ID()
	for _, change := range []func(){
		func() {},
		func() { f.Blocked = append(f.Blocked, f.Blocked[0]) }, // once is enough
		func() { f.Group = Group{} },                           // left; the key stays
		func() { f.Blocked = nil },
	} {
		change()
		if err := f.Save(path); err != nil {
			t.Fatal(err)
		}
		got, err := Load(path)
		if err != nil || got.Group.Name != f.Group.Name || got.Group.Trusted != f.Group.Trusted || !got.Group.Secret.Equal(f.Group.Secret) ||
			got.Group.IsZero() != f.Group.IsZero() || got.Key.ID() != f.Key.ID() || got.Exposed || len(got.Blocked) > 2 {
			t.Fatalf("%v, %v", got, err)
		}
		for _, id := range f.Blocked {
			if !got.Blocks(id) || got.Blocks(stranger) {
				t.Errorf("blocked: %v", got.Blocked)
			}
		}
	}
	if err := (File{Group: f.Group}).Save(path); !says(err, "no node key") {
		t.Errorf("without a key: %v", err)
	}
	if err := (File{Key: f.Key, Group: Group{Name: "x"}}).Save(path); !says(err, "no secret") {
		t.Errorf("without a secret: %v", err)
	}
	if _, err := Load(path); err != nil {
		t.Errorf("a Save that failed left: %v", err)
	}
}

func TestFileIsForItsOwner(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("ACLs decide there")
	}
	path, _ := savedFile(t)
	mode := func() fs.FileMode { info, _ := os.Stat(path); return info.Mode().Perm() }
	if mode() != 0o600 {
		t.Errorf("mode %v", mode())
	}
	os.Chmod(path, 0o644)
	if f, err := Load(path); err != nil || !f.Exposed || mode() != 0o600 {
		t.Errorf("exposed %v, mode %v, %v", f.Exposed, mode(), err)
	}
	if f, err := Load(path); err != nil || f.Exposed {
		t.Errorf("exposed %v, %v", f.Exposed, err)
	}
}

func TestSaveSweepsWhatCrashesLeft(t *testing.T) {
	path, f := savedFile(t)
	old, young := filepath.Join(filepath.Dir(path), ".group.json-1"), filepath.Join(filepath.Dir(path), ".group.json-2")
	for _, p := range []string{old, young} {
		if err := os.WriteFile(p, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	os.Chtimes(old, time.Time{}, time.Now().Add(-2*time.Hour))
	if err := f.Save(path); err != nil {
		t.Fatal(err)
	}
	entries, _ := os.ReadDir(filepath.Dir(path))
	if len(entries) != 2 {
		t.Errorf("left: %v", entries)
	}
}

func TestDamagedFiles(t *testing.T) {
	path, f := savedFile(t)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	whole := string(data)
	secret, key := fmt.Sprintf("%x", f.Group.Secret.b()), fmt.Sprintf("%x", f.Key.seed())
	check := func(name, content, want string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Load(path)
		if err == nil || !says(err, want) || !says(err, "join again") || !says(err, path) {
			t.Errorf("%s: %v", name, err)
		} else if strings.Contains(err.Error(), secret[:8]) || strings.Contains(err.Error(), key[:8]) {
			t.Errorf("%s: the error shows a secret: %v", name, err)
		}
	}
	for n := range len(strings.TrimSpace(whole)) {
		check("truncated", whole[:n], fmt.Sprintf("cut short after %d bytes", n))
	}
	swap := func(from, to string) string { return strings.Replace(whole, from, to, 1) }
	for _, tt := range []struct{ name, content, want string }{
		{"zeros, as some file systems leave", strings.Repeat("\x00", len(whole)), "invalid character"},
		{"no version", swap(`"version": 1,`, ""), "version 0"},
		{"newer", swap(`"version": 1`, `"version": 2`), "version 2 and this dtpx knows 1"},
		{"unknown key", swap(`"trusted"`, `"thrusted"`), `"thrusted"`},
		{"two values", whole + whole, "after top-level value"},
		{"no secret", swap(secret, ""), "secret is not 32 hexadecimal digits"},
		{"short secret", swap(secret, secret[2:]), "secret is not 32"},
		{"not hexadecimal", swap(secret, "z"+secret[1:]), "secret is not 32"},
		{"a number", swap(`"`+secret+`"`, "12345678"), "number"},
		{"no key", swap(key, ""), "node_key is not 64"},
		{"a name too long", swap("Ferienhaus", strings.Repeat("F", 40)), "at most 32"},
		{"no name", swap("Ferienhaus Müller", ""), "name is empty"},
		{"a bad blocked node", swap(f.Blocked[0].String(), "abc"), "3 characters instead of 52"},
		{"null", "null", "version 0"},
		{"a list", "[]", "array"},
		{"endless", whole + strings.Repeat(" ", maxFile), "larger than"},
	} {
		check(tt.name, tt.content, tt.want)
	}
	os.Remove(path)
	if _, err := Load(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func FuzzFile(f *testing.F) {
	_, file := savedFile(f)
	data, err := file.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(data[:len(data)/2])
	f.Add([]byte(`{"version":1,"node_key":"` + strings.Repeat("0", 64) + `"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := parseFile(data)
		if err != nil {
			return
		}
		out, err := file.encode()
		if err != nil {
			t.Fatalf("cannot write what was read: %v", err)
		}
		again, err := parseFile(out)
		if err != nil || again.Key.ID() != file.Key.ID() || !again.Group.Secret.Equal(file.Group.Secret) || !json.Valid(out) {
			t.Errorf("not the same after writing: %v", err)
		}
	})
}
