package testbed

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Entry is one request as the origin saw it.
type Entry struct {
	Time    time.Time     `json:"time"`
	Took    time.Duration `json:"took_ns"` // 0 while it runs
	Remote  string        `json:"remote"`
	Local   string        `json:"local"`
	Conn    int64         `json:"conn"`
	OnConn  int64         `json:"on_conn"` // number of this request on its connection
	Proto   string        `json:"proto"`
	TLS     bool          `json:"tls"`
	Method  string        `json:"method"`
	Host    string        `json:"host"`
	URL     string        `json:"url"`
	Number  int           `json:"number"` // of this request for its URL; 0 if it did not get so far
	Range   string        `json:"range,omitempty"`
	IfRange string        `json:"if_range,omitempty"`
	Header  http.Header   `json:"header"`
	Status  int           `json:"status"`
	Written int64         `json:"written"` // body bytes given to the kernel
	Acked   int64         `json:"acked"`   // body bytes the peer acknowledged, -1 unknown
	Fault   string        `json:"fault,omitempty"`
	Aborted bool          `json:"aborted,omitempty"`

	key   string
	parts []part
	conn  *conn
	end   int64 // bytes sent on the connection when the request ended
}

func (e *Entry) addFault(kind string) {
	e.Fault = strings.TrimPrefix(e.Fault+"+"+kind, "+")
}

// Log is an origin's access log. Entries are in the order of the requests.
type Log struct {
	w io.Writer // write-once

	mu      sync.Mutex
	entries []*Entry
}

// maxEntries bounds the memory of an origin that runs for days.
const maxEntries = 1 << 17

func (l *Log) begin(q *request) *Entry {
	e := &Entry{
		Time: time.Now(), Remote: q.r.RemoteAddr, Local: localAddr(q.r), Conn: q.conn.id, OnConn: q.conn.requests.Add(1),
		Proto: q.r.Proto, TLS: q.r.TLS != nil, Method: q.r.Method, Host: q.r.Host, URL: q.r.URL.RequestURI(),
		Range: q.r.Header.Get("Range"), IfRange: q.r.Header.Get("If-Range"), Header: q.r.Header.Clone(),
		key: q.key, conn: q.conn,
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.entries) == maxEntries {
		l.entries = slices.Delete(l.entries, 0, maxEntries/2)
	}
	l.entries = append(l.entries, e)
	return e
}

func (l *Log) end(q *request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	q.entry.end = q.conn.sent.Load()
	q.entry.Took = max(1, time.Since(q.entry.Time))
	if l.w != nil {
		json.NewEncoder(l.w).Encode(q.entry.settled())
	}
}

func (l *Log) update(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

func (l *Log) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = nil
}

// settled is a copy with what is known of Acked now. What the connection still
// holds is taken from this request's end: exact for the last request of a
// connection, for all earlier ones nothing is missing.
func (e *Entry) settled() Entry {
	c := *e
	end := e.end
	if e.Took == 0 {
		end = e.conn.sent.Load()
	}
	if missing := e.conn.unacked(end); missing < 0 {
		c.Acked = -1
	} else {
		c.Acked = max(0, e.Written-missing)
	}
	return c
}

// Entries are all requests so far; those that still run too, with Took 0.
func (l *Log) Entries() []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]Entry, len(l.entries))
	for i, e := range l.entries {
		all[i] = e.settled()
	}
	return all
}

// For returns the requests whose URL contains s.
func (l *Log) For(s string) []Entry {
	return slices.DeleteFunc(l.Entries(), func(e Entry) bool { return !strings.Contains(e.URL, s) })
}

// Stats add up the requests for one file.
type Stats struct {
	Requests  int   `json:"requests"`
	Refused   int   `json:"refused"`   // answered 4xx or 5xx
	Conns     int   `json:"conns"`     // different connections used
	MaxAtOnce int   `json:"at_once"`   // requests that ran at the same time
	Total     int64 `json:"total"`     // body bytes that crossed the network (written, where acknowledgement is unknown)
	Unique    int64 `json:"unique"`    // of these, different bytes of the file
	Duplicate int64 `json:"duplicate"` // Total - Unique
}

// Since is Stats without the first n of those requests: what is still booked of those
// that have been cut is not the later ones'.
func (l *Log) Since(s string, n int) Stats { return statsOf(l.For(s)[n:]) }

// bytes are what the peer has of the body, as far as known.
func (e *Entry) bytes() int64 {
	if e.Acked < 0 {
		return e.Written
	}
	return e.Acked
}

// Stats of all requests whose URL contains s. Only one file's make sense.
func (l *Log) Stats(s string) Stats { return statsOf(l.For(s)) }

func statsOf(entries []Entry) (st Stats) {
	var got []part
	conns := map[int64]bool{}
	for _, e := range entries {
		st.Requests++
		conns[e.Conn] = true
		if e.Status >= 400 {
			st.Refused++
		}
		n := e.bytes()
		st.Total += n
		got = append(got, covered(e.parts, n)...)
	}
	st.Conns = len(conns)
	st.MaxAtOnce = atOnce(entries)
	st.Unique = union(got)
	st.Duplicate = st.Total - st.Unique
	return st
}

// covered is the first n bytes of parts.
func covered(parts []part, n int64) (got []part) {
	for _, x := range parts {
		x.n = min(x.n, n)
		n -= x.n
		got = append(got, x)
	}
	return got
}

func union(parts []part) (n int64) {
	slices.SortFunc(parts, func(a, b part) int { return int(min(1, max(-1, a.off-b.off))) })
	var end int64
	for _, x := range parts {
		if to := x.off + x.n; to > end {
			n += to - max(end, x.off)
			end = to
		}
	}
	return n
}

func atOnce(entries []Entry) (most int) {
	type edge struct {
		at time.Time
		d  int
	}
	var edges []edge
	for _, e := range entries {
		edges = append(edges, edge{e.Time, 1})
		if e.Took > 0 {
			edges = append(edges, edge{e.Time.Add(e.Took), -1})
		}
	}
	slices.SortFunc(edges, func(a, b edge) int {
		if c := a.at.Compare(b.at); c != 0 {
			return c
		}
		return a.d - b.d
	})
	now := 0
	for _, e := range edges {
		now += e.d
		most = max(most, now)
	}
	return most
}
