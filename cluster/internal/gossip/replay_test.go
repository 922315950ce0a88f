package gossip

import (
	"testing"
	"time"
)

// Packets that an eavesdropper sends again, who has no key, bring nobody back for
// longer than it takes to notice a death.
func TestReplay(t *testing.T) {
	for name, leave := range map[string]func(*node){
		"one that has left": func(n *node) { n.Leave(time.Second); n.die() },
		"one that has died": (*node).die,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := newHub()
				h.eavesdrop(true)
				nodes := lan(t, h, 5)
				until(t, settle, "all know all", complete(nodes))
				time.Sleep(time.Minute)
				ghost, rest := nodes[4], nodes[:4]
				h.eavesdrop(false) // what was said of its end is no use
				leave(ghost)
				until(t, settle, "all know that it is gone", complete(rest))
				came, longest := 0, time.Duration(0)
				here := map[*node]time.Time{}
				for second := range 240 {
					if second%5 == 0 {
						h.replay()
					}
					time.Sleep(time.Second)
					for _, n := range rest {
						_, is := n.member(ghost.id)
						since, was := here[n]
						switch {
						case is && !was:
							came++
							here[n] = time.Now()
						case is:
							longest = max(longest, time.Since(since))
						default:
							delete(here, n)
						}
					}
				}
				t.Logf("%d packets again and again: it came back %d times, for %v at most", len(h.tap), came, longest)
				if longest > 15*time.Second {
					t.Errorf("a ghost for %v", longest)
				}
				if len(h.tap) < 100 {
					t.Error("the test is wrong: nothing was heard")
				}
				until(t, settle, "the others know each other, and no ghost", complete(rest))
			})
		})
	}
}
