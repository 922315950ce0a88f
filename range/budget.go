package ranges

import (
	"cmp"
	"maps"
	"slices"
	"sync"
)

// Memory shares a budget of bytes among clients, and each one's part among its
// downloads; what some cannot use the others get. What a download holds or may
// come to hold is charged to it, so that one that comes later gets what is
// left and not what the others have filled already: all together hold at most
// the budget and a quarter, of which minWindow goes to each that finds it used
// up, and an eighth beyond that, where clients find room that have nothing yet.
// The zero value is unlimited. It is safe for concurrent use.
type Memory struct {
	limit int64
	mu    sync.Mutex
	users map[*Download]*charge
	parts map[string]int64 // of each download of a client
	count map[string]int   // of the clients' downloads
	sum   int64
}

// charge is what a download may come to hold.
type charge struct {
	account string
	bytes   int64
}

// minWindow is the least read-ahead with which splitting still pays.
const minWindow = 4 * blockSize

// NewMemory returns a budget of limit bytes for all windows together.
func NewMemory(limit int64) *Memory {
	return &Memory{limit: limit}
}

// enter admits d; ok is false when there is no room for another.
func (m *Memory) enter(d *Download) (ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	account := clientOf(d.ctx).account()
	if m.limit > 0 && !m.roomLocked(account) {
		return false
	}
	if m.users == nil {
		m.users, m.count = map[*Download]*charge{}, map[string]int{}
	}
	m.users[d] = &charge{account: account}
	m.count[account]++
	m.shareLocked(d.engine.Window)
	return true
}

// roomLocked reports whether a client may have one more download. Where all the
// room is in use, one may that has less than its part of it.
func (m *Memory) roomLocked(account string) bool {
	has, most := int64(m.count[account]), m.limit+m.limit/4
	clients := int64(len(m.count))
	if has == 0 {
		clients, most = clients+1, most+m.limit/8
	}
	slots := m.limit / minWindow
	return m.sum+minWindow <= most && (int64(len(m.users)) < slots || has < slots/clients)
}

func (m *Memory) leave(d *Download) {
	m.mu.Lock()
	defer m.mu.Unlock()
	u := m.users[d]
	if u == nil {
		return
	}
	m.sum -= u.bytes
	delete(m.users, d)
	if m.count[u.account]--; m.count[u.account] == 0 {
		delete(m.count, u.account)
	}
	m.shareLocked(d.engine.Window)
}

// grant is the window that d, which holds held bytes and could use want, may
// have now.
func (m *Memory) grant(d *Download, held, want int64) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	u := m.users[d]
	if m.limit <= 0 || u == nil {
		return want
	}
	share := min(want, m.parts[u.account], m.limit-(m.sum-u.bytes))
	share = max(share, min(want, minWindow))
	was := u.bytes
	u.bytes = max(share, held)
	m.sum += u.bytes - was
	return share
}

// shareLocked divides the budget anew among clients whose downloads can use
// want each.
func (m *Memory) shareLocked(want int64) {
	m.parts = partsOf(m.limit, want, m.count)
}

// partsOf divides limit equally among clients, and what one of them cannot use
// among the others. It returns the part of each download.
func partsOf(limit, want int64, count map[string]int) map[string]int64 {
	parts := make(map[string]int64, len(count))
	names := slices.SortedFunc(maps.Keys(count), func(a, b string) int {
		return cmp.Or(cmp.Compare(count[a], count[b]), cmp.Compare(a, b))
	})
	for i, name := range names {
		n := int64(count[name])
		part := min(limit/int64(len(names)-i), n*want)
		limit -= part
		parts[name] = part / n
	}
	return parts
}
