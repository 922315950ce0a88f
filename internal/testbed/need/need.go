// Package need says what a test cannot do without. What is missing skips the test
// by name and with the reason, except under DTPX_FULL=1, where it fails: the full
// test command skips nothing.
package need

import (
	"os"
	"os/exec"
	"runtime"
	"testing"
)

// Skip skips, or fails under DTPX_FULL=1.
func Skip(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("DTPX_FULL") == "1" {
		t.Fatalf("DTPX_FULL=1 skips nothing, but "+format, args...)
	}
	t.Skipf(format, args...)
}

// Program returns the path of the first of several names of a program.
func Program(t testing.TB, names ...string) string {
	t.Helper()
	for _, name := range names {
		if p, err := exec.LookPath(name); err == nil {
			return p
		}
	}
	Skip(t, "%s is not installed: sh internal/all.sh installs it", names[0])
	return ""
}

// Linux skips on other systems, even under DTPX_FULL=1: nothing can be installed.
func Linux(t testing.TB) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skipf("needs Linux, this is %s", runtime.GOOS)
	}
}

// Root needs Linux and root, as everything with namespaces does.
func Root(t testing.TB) {
	t.Helper()
	Linux(t)
	if os.Geteuid() != 0 {
		Skip(t, "needs root for network namespaces: run as root")
	}
}
