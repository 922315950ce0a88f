package relay

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMain fails if anything of the relay outlives its server.
func TestMain(m *testing.M) {
	code := m.Run()
	left := leaked()
	for deadline := time.Now().Add(5 * time.Second); left != "" && time.Now().Before(deadline); left = leaked() {
		runtime.Gosched()
	}
	if left != "" && code == 0 {
		fmt.Fprintf(os.Stderr, "goroutines left behind:\n%s\n", left)
		code = 1
	}
	os.Exit(code)
}

func leaked() string {
	buf := make([]byte, 1<<20)
	var left []string
	for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if strings.Contains(g, "relay.(*") {
			left = append(left, g)
		}
	}
	return strings.Join(left, "\n\n")
}
