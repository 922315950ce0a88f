// Package arch holds the tests that keep the folders what ARCHITECTURE.md says
// they are.
package arch

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"strings"
	"testing"
)

// arrows are the folders with one responsibility each, and what of ours they
// may import outside themselves.
var arrows = map[string][]string{
	"range":   {"internal/cork"},
	"cache":   {"range", "internal/special"},
	"cluster": {"range", "internal/cork", "internal/special", "internal/tcpinfo", "internal/traffic"},
	"certs":   nil,
	"proxy":   {"internal/cork"},
}

// forTests may be imported by tests everywhere.
const forTests = "internal/testbed"

type pkg struct {
	ImportPath, Doc      string
	Imports              []string
	TestImports          []string
	XTestImports         []string
	GoFiles, TestGoFiles []string
}

func packages(t *testing.T) (ps []pkg) {
	t.Helper()
	out, err := exec.Command("go", "list", "-json", "dtpx/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return ps
		} else if err != nil {
			t.Fatal(err)
		}
		ps = append(ps, p)
	}
}

// inside is the path within the module, ok false for others' packages.
func inside(importPath string) (folder string, ok bool) {
	return strings.CutPrefix(importPath, "dtpx/")
}

func within(folder, dir string) bool { return folder == dir || strings.HasPrefix(folder, dir+"/") }

func TestImportArrows(t *testing.T) {
	for _, p := range packages(t) {
		from, _ := inside(p.ImportPath)
		top, _, _ := strings.Cut(from, "/")
		allowed, ruled := arrows[top]
		if !ruled {
			continue
		}
		for _, to := range p.Imports {
			if folder, ours := inside(to); ours && !permitted(folder, append(allowed, top)) {
				t.Errorf("%s imports %s", p.ImportPath, to)
			}
		}
		for _, to := range append(p.TestImports, p.XTestImports...) {
			if folder, ours := inside(to); ours && !permitted(folder, append(allowed, top, forTests)) {
				t.Errorf("a test of %s imports %s", p.ImportPath, to)
			}
		}
	}
}

func permitted(folder string, dirs []string) bool {
	for _, d := range dirs {
		if within(folder, d) {
			return true
		}
	}
	return false
}

// The testbed is for tests: nothing that is shipped may import it.
func TestTestbedIsNotShipped(t *testing.T) {
	for _, p := range packages(t) {
		from, _ := inside(p.ImportPath)
		if top, _, _ := strings.Cut(from, "/"); arrows[top] == nil && top != "range" && top != "certs" && top != "proxy" && from != "cmd/dtpx" {
			continue
		}
		for _, to := range p.Imports {
			if folder, _ := inside(to); within(folder, forTests) {
				t.Errorf("%s imports %s", p.ImportPath, to)
			}
		}
	}
}

func TestEveryPackageHasAComment(t *testing.T) {
	for _, p := range packages(t) {
		if len(p.GoFiles) > 0 && p.Doc == "" {
			t.Errorf("%s has no package comment; it belongs into %s.go", p.ImportPath, path.Base(p.ImportPath))
		}
	}
}
