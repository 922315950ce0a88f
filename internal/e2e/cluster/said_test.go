package cluster

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"dtpx/internal/testbed/hostel"
)

// said is what dtpx peers tells a person.
type said struct {
	lent, borrowed, own int64 // today
	members             map[string]saidOf
}

type saidOf struct {
	state          string
	lent, borrowed int64
}

var (
	saidToday  = regexp.MustCompile(`today lent (\S+ \S+), borrowed (\S+ \S+), own link (\S+ \S+)`)
	saidMember = regexp.MustCompile(`(?m)^(\S+) +[a-z2-7]{8} +(here|gone|blocked) +\S+ \S+/s +(\S+ \S+) +(\S+ \S+)  .*(limit|left|nothing)$`)
)

func (h *house) saidPeers(r *hostel.Room) (s said, text string) {
	h.t.Helper()
	text = h.dtpx(r, "peers")
	m := saidToday.FindStringSubmatch(text)
	if m == nil {
		h.t.Fatalf("peers on %s says: %s", r.Name, text)
	}
	s = said{size(m[1]), size(m[2]), size(m[3]), map[string]saidOf{}}
	for _, m := range saidMember.FindAllStringSubmatch(text, -1) {
		s.members[m[1]] = saidOf{m[2], size(m[3]), size(m[4])}
	}
	return s, text
}

// size reads "17.7 MiB", -1 is what it cannot read.
func size(s string) int64 {
	var f float64
	var unit string
	if _, err := fmt.Sscan(s, &f, &unit); err != nil {
		return -1
	}
	shift, ok := map[string]int{"B": 0, "KiB": 10, "MiB": 20, "GiB": 30}[unit]
	if !ok {
		return -1
	}
	return int64(f * float64(int64(1)<<shift))
}

// alike is true for two machines' words of the same bytes, each of which rounds.
func alike(a, b int64) bool { return a-b < mib/2 && b-a < mib/2 }

// account compares what the machines say after the first one has downloaded one
// file of so many bytes and nothing else: each lent what the first one borrowed
// of it, and the first one paid the rest. One that was cut off has lent what its
// link carried or had reserved for it, too.
func (h *house) account(url string, bytes int64, cut ...*hostel.Room) {
	h.t.Helper()
	borrower, lenders := h.Rooms[0], h.Rooms[1:]
	var texts []string
	defer func() { h.t.Log(strings.Join(texts, "\n")) }()
	// Lenders give back what they had reserved when a tunnel ends.
	h.within(loseTime, "the accounts agree", func() bool {
		mine, text := h.saidPeers(borrower)
		texts = []string{text}
		ok, sum := mine.lent == 0 && mine.own > 0, int64(0)
		for _, r := range lenders {
			theirs, text := h.saidPeers(r)
			texts = append(texts, text)
			lent, borrowed := theirs.members[borrower.Name].lent, mine.members[r.Name].borrowed
			if slices.Contains(cut, r) {
				ok = ok && lent > borrowed-mib/2 && lent < h.carried(r)+reserved
			} else {
				ok = ok && alike(lent, borrowed)
			}
			ok = ok && borrowed > 0 && alike(theirs.lent, lent) && theirs.borrowed == 0 && theirs.own == 0
			sum += borrowed
		}
		return ok && alike(sum, mine.borrowed) && sum+mine.own > bytes-mib/2 && sum+mine.own < bytes*103/100
	})
	status := h.dtpx(borrower, "status")
	texts = append(texts, status)
	whole := fmt.Sprintf("%.1f MiB of %.1f MiB", float64(bytes)/mib, float64(bytes)/mib)
	for _, part := range append([]string{"done      " + url, whole, "direct "}, peerLines(lenders)...) {
		if !strings.Contains(status, part) {
			h.t.Errorf("status on %s does not say %q", borrower.Name, part)
		}
	}
	for _, r := range lenders {
		if status := h.dtpx(r, "status"); !strings.Contains(status, "no downloads yet") || strings.Contains(status, url) {
			h.t.Errorf("status on %s says: %s", r.Name, status)
		}
	}
}

// reserved is what a few tunnels may have booked ahead.
const reserved = 16 * mib

func peerLines(rooms []*hostel.Room) (all []string) {
	for _, r := range rooms {
		all = append(all, "peer "+r.Name+" ")
	}
	return all
}

// others checks that dtpx status and dtpx peers count so many members as here.
func (h *house) others(n int, rooms ...*hostel.Room) {
	h.t.Helper()
	for _, r := range rooms {
		s, text := h.saidPeers(r)
		here := 0
		for _, m := range s.members {
			if m.state == "here" {
				here++
			}
		}
		if status := h.dtpx(r, "status"); here != n || !strings.Contains(status, fmt.Sprintf("group \"hostel\", %d other members here", n)) {
			h.t.Errorf("%s should see %d others here:\n%s\n%s", r.Name, n, text, status)
		}
	}
}
