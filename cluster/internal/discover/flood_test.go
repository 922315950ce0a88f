package discover

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"dtpx/internal/testbed/netns"
)

// Many hosts of the LAN copy the group's tag and say that members are at their
// addresses: more than one round believes. Who is a member is found all the same, and
// soon, since chance decides who gets a place.
func TestCopiedTags(t *testing.T) {
	t.Parallel()
	const liars = 150
	evil := "10.9.0.2/24"
	for i := range liars {
		evil += fmt.Sprintf(" 10.9.0.%d/24", 20+i)
	}
	machines, ports := lan(t, "10.9.0.1/24", evil, "10.9.0.3/24")
	stop := lieBy(t, ports[1], liars)
	node := start(t, machines[0], "club", 4001)
	friend := start(t, machines[2], "club", 4002)
	found := func(p *process, what string) {
		t.Helper()
		deadline := time.After(60 * time.Second)
		again := time.NewTicker(window + 200*time.Millisecond)
		defer again.Stop()
		lines, begin := 0, time.Now()
		for {
			select {
			case line, ok := <-p.lines:
				if !ok {
					t.Fatal("ended")
				}
				lines++
				if line == what {
					t.Logf("%s after %v and %d others", what, time.Since(begin), lines-1)
					return
				}
			case <-again.C:
				p.say("poke")
			case <-deadline:
				t.Fatalf("no %q, %d others", what, lines)
			}
		}
	}
	found(friend, "found 10.9.0.1:4001")
	found(node, "found 10.9.0.3:4002")
	if n := stop(); n < 4*liars {
		t.Errorf("the test is wrong: %d lies", n)
	}
	node.say("memory")
	line, _ := node.expect(t, "memory", 5*time.Second)
	var heap, goroutines int
	fmt.Sscanf(line, "memory %d %d", &heap, &goroutines)
	if heap > 8<<20 || goroutines > 30 {
		t.Errorf("not bounded: %s", line)
	}
}

// lieBy answers each query from many addresses of a port, each of which says that a
// member is there, until stop, which gives the number of answers.
func lieBy(t *testing.T, from netns.Port, liars int) (stop func() int) {
	t.Helper()
	queries := capture(t, from, true)
	var mouths []*net.UDPConn
	var lies [][]string
	tag := testKeys("club").Tag(time.Now())
	err := from.M.Do(func() error {
		for i := range liars {
			addr := net.IPv4(10, 9, 0, byte(20+i))
			c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: addr})
			if err != nil {
				return err
			}
			mouths = append(mouths, c)
			lies = append(lies, []string{"v=1", "tag=" + tag, "port=1", "a=" + addr.String()})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		packet := make([]byte, packetMax)
		for ctx.Err() == nil {
			n, who, err := queries.ReadFromUDP(packet)
			if err != nil || n < 12 {
				continue
			}
			id := uint16(packet[0])<<8 | uint16(packet[1])
			for i, c := range mouths {
				if _, err := c.WriteToUDP(lie(id, 7*i+1, lies[i]), who); err == nil {
					told++
				}
			}
		}
	})
	return func() int {
		cancel()
		queries.SetReadDeadline(time.Unix(1, 0))
		wg.Wait()
		for _, c := range mouths {
			c.Close()
		}
		return told
	}
}
