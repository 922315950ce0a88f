package ranges_test

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMain fails if a download's goroutines outlive its readers. What runs in
// a synctest bubble is checked by the bubble itself.
func TestMain(m *testing.M) {
	flag.Parse()
	flag.Set("test.parallel", "8") // the parallel tests wait for a throttled origin, not for a processor
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
		if strings.Contains(g, "ranges.(*") {
			left = append(left, g)
		}
	}
	return strings.Join(left, "\n\n")
}
