package proxy_test

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMain looks for goroutines of ours that outlive their servers.
func TestMain(m *testing.M) {
	code := m.Run()
	if leaked := leaks(); code == 0 && leaked != "" {
		fmt.Println("goroutines left behind:\n" + leaked)
		code = 1
	}
	os.Exit(code)
}

func leaks() string {
	for deadline := time.Now().Add(5 * time.Second); ; {
		buf := make([]byte, 1<<20)
		var ours []string
		for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if strings.Contains(g, "dtpx/proxy.") && !strings.Contains(g, "proxy_test.TestMain") {
				ours = append(ours, g)
			}
		}
		if len(ours) == 0 || time.Now().After(deadline) {
			return strings.Join(ours, "\n\n")
		}
		runtime.Gosched()
	}
}
