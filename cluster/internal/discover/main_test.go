package discover

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// nodeEnv makes the test binary a node: in a network namespace of its own, which
// a goroutine of the test could not be. Its value is "<group> <port>".
const nodeEnv = "DTPX_DISCOVER_NODE"

func TestMain(m *testing.M) {
	if what := os.Getenv(nodeEnv); what != "" {
		beNode(what)
		return
	}
	flag.Parse()
	flag.Set("test.parallel", "8") // the tests wait for the network, they do not compute
	os.Exit(m.Run())
}

// testKeys stand for group.Keys.
type testKeys string

func (k testKeys) Tag(day time.Time) string {
	mac := hmac.New(sha256.New, []byte(k))
	mac.Write([]byte(today(day)))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

func (k testKeys) IsTag(tag string, now time.Time) bool {
	for _, d := range []time.Duration{-24, 0, 24} {
		if tag == k.Tag(now.Add(d*time.Hour)) {
			return true
		}
	}
	return false
}

// beNode runs a Service on all interfaces, prints what it finds, and obeys its
// input: "day" lets a day pass, "poke" pokes, "memory" prints bytes and
// goroutines; its end is the end.
func beNode(what string) {
	group, number, _ := strings.Cut(what, " ")
	port, _ := strconv.Atoi(number)
	var days atomic.Int64
	s := Start(Options{
		Keys: testKeys(group), Port: port, Interfaces: lanInterfaces, Addrs: lanAddrs,
		Found: func(at netip.AddrPort) { fmt.Println("found", at) },
		Now:   func() time.Time { return time.Now().Add(time.Duration(days.Load()) * 24 * time.Hour) },
		Log:   slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		switch in.Text() {
		case "day":
			days.Add(1)
			s.Poke()
		case "poke":
			s.Poke()
		case "memory":
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			fmt.Println("memory", m.HeapAlloc, runtime.NumGoroutine())
		}
	}
	s.Close()
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > 1; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) { // the library's end by themselves, but soon
			fmt.Println("leak", runtime.NumGoroutine())
			break
		}
	}
	fmt.Println("closed")
}

func lanInterfaces() (out []net.Interface) {
	all, _ := net.Interfaces()
	for _, ifc := range all {
		if ifc.Flags&net.FlagLoopback == 0 {
			out = append(out, ifc)
		}
	}
	return out
}

func lanAddrs() (out []netip.Addr) {
	for _, l := range linksOf(lanInterfaces()) {
		for _, p := range l.prefixes {
			out = append(out, p.Addr())
		}
	}
	return out
}
