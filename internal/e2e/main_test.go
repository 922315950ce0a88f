package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// binary is dtpx; write-once in TestMain.
var binary string

func TestMain(m *testing.M) {
	if url := os.Getenv(goClientURL); url != "" {
		os.Exit(goClient(url))
	}
	flag.Parse()
	// Tests wait for throttled origins more than they compute.
	if f := flag.Lookup("test.parallel"); f.Value.String() == fmt.Sprint(runtime.GOMAXPROCS(0)) {
		_ = flag.Set("test.parallel", fmt.Sprint(2*runtime.GOMAXPROCS(0)))
	}
	os.Exit(withBinary(m.Run))
}

func withBinary(run func() int) int {
	dir, err := os.MkdirTemp("", "dtpx-e2e-")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer os.RemoveAll(dir)
	_ = os.Chmod(dir, 0o755) // tests as another user run it too
	binary = filepath.Join(dir, "dtpx")
	if err := build(); err != nil {
		fmt.Println(err)
		return 1
	}
	return run()
}

// build does without the race detector where there is no C compiler, except
// under DTPX_FULL=1.
func build() error {
	out, err := exec.Command("go", "build", "-race", "-o", binary, "dtpx/cmd/dtpx").CombinedOutput()
	if err == nil {
		return nil
	}
	if os.Getenv("DTPX_FULL") != "1" {
		fmt.Printf("no race detector: %v: %s\n", err, out)
		out, err = exec.Command("go", "build", "-o", binary, "dtpx/cmd/dtpx").CombinedOutput()
	}
	if err != nil {
		return fmt.Errorf("build dtpx: %w: %s", err, out)
	}
	return nil
}
