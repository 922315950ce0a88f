package rules

import (
	"math/rand/v2"
	"strconv"
	"testing"
	"time"
)

func TestLifetime(t *testing.T) {
	for _, c := range []struct {
		status    int
		header    string
		want      time.Duration
		heuristic bool
	}{
		{200, "Cache-Control: max-age=5, s-maxage=7|Expires: @9|Date: @0", 7 * time.Second, false},
		{200, "Cache-Control: max-age=5|Expires: @9|Date: @0", 5 * time.Second, false},
		{200, "Expires: @9|Date: @0", 9 * time.Second, false},
		{200, "Expires: @9|Date: @20", 0, false},
		{200, "Expires: @9", 9 * time.Second, false},
		{200, "Expires: @9|Expires: @9|Date: @0", 9 * time.Second, false},
		{200, "Expires: @9|Expires: @19|Date: @0", 0, false},
		{200, "Expires: -1|Last-Modified: @-1000|Date: @0", 0, false},
		{200, "Cache-Control: max-age=x|Last-Modified: @-1000|Date: @0", 0, false},
		{200, "Last-Modified: @-1000|Date: @0", 100 * time.Second, true},
		{200, "Last-Modified: @-1000", 100 * time.Second, true},
		{200, "Last-Modified: @-100000000|Date: @0", 24 * time.Hour, true},
		{200, "Last-Modified: @1000|Date: @0", 0, true},
		{200, "Last-Modified: yesterday|Date: @0", 0, false},
		{200, "Date: @0", 0, false},
		{302, "Last-Modified: @-1000|Date: @0", 0, false},
		{302, "Cache-Control: public|Last-Modified: @-1000|Date: @0", 100 * time.Second, true},
		{400, "Cache-Control: public|Last-Modified: @-1000|Date: @0", 0, false},
		{200, `Cache-Control: x="|Last-Modified: @-1000|Date: @0`, 0, false},
	} {
		s := Stored{Status: c.status, Header: fields(c.header), Requested: noon, Received: noon}
		if f := s.Freshness(); f.Lifetime != c.want || f.Heuristic != c.heuristic {
			t.Errorf("%d %s: %v %v, want %v", c.status, c.header, f.Lifetime, f.Heuristic, c.want)
		}
	}
}

// RFC 9111 §4.2.3.
func TestAge(t *testing.T) {
	for _, c := range []struct {
		header   string
		delay    time.Duration // response_delay
		resident time.Duration
		want     time.Duration
	}{
		{"Date: @0", 0, 0, 0},
		{"Date: @0", 0, 5 * time.Second, 5 * time.Second},
		{"Date: @0", 3 * time.Second, 5 * time.Second, 8 * time.Second},
		{"Date: @0|Age: 10", 3 * time.Second, 5 * time.Second, 18 * time.Second},
		{"Date: @-60|Age: 10", 3 * time.Second, 0, 60 * time.Second},
		{"Date: @60|Age: 10", 0, 0, 10 * time.Second},
		{"Date: soon|Age: 10", 0, 0, 10 * time.Second},
		{"", 0, 5 * time.Second, 5 * time.Second},
		{"Age: 99999999999999999999", 0, time.Hour, forever},
		{"Date: Thu, 01 Jan 1970 00:00:00 GMT|Age: 9999999999", time.Hour, 1 << 62, forever},
		{"Date: @0", 0, -30 * time.Second, 0},
		{"Date: @0", 0, -2 * time.Minute, forever},
	} {
		s := Stored{Status: 200, Header: fields(c.header), Requested: noon.Add(-c.delay), Received: noon}
		if got := s.Freshness().Age(noon.Add(c.resident)); got != c.want {
			t.Errorf("%s, %v, %v: %v, want %v", c.header, c.delay, c.resident, got, c.want)
		}
	}
	if age := (&Stored{Header: fields("Date: @0"), Received: noon}).Freshness().Age(noon); age != forever {
		t.Errorf("without the time of the request: %v", age)
	}
}

func TestDecide(t *testing.T) {
	const tagged = `|ETag: "a"|Date: @0`
	for _, c := range []struct {
		req, resp string
		age       int
		want      Verdict
		fwd       Fwd
	}{
		{"", "Cache-Control: max-age=60", 59, Serve, ""},
		{"", "Cache-Control: max-age=60", 60, Validate, FwdStale}, // fresh is lifetime > age
		{"", "Cache-Control: max-age=60, no-cache", 0, Validate, FwdStale},
		{"Cache-Control: no-cache", "Cache-Control: max-age=60", 0, Validate, FwdRequest},
		{"Cache-Control: max-age=5", "Cache-Control: max-age=60", 5, Serve, ""},
		{"Cache-Control: max-age=5", "Cache-Control: max-age=60", 6, Validate, FwdRequest},
		{"Cache-Control: max-age=x", "Cache-Control: max-age=60", 1, Validate, FwdRequest},
		{"Cache-Control: min-fresh=10", "Cache-Control: max-age=60", 50, Serve, ""},
		{"Cache-Control: min-fresh=10", "Cache-Control: max-age=60", 51, Validate, FwdRequest},
		{"Cache-Control: max-stale", "Cache-Control: max-age=60", 9999, Serve, ""},
		{"Cache-Control: max-stale=9", "Cache-Control: max-age=60", 69, Serve, ""},
		{"Cache-Control: max-stale=9", "Cache-Control: max-age=60", 70, Validate, FwdStale},
		{"Cache-Control: max-stale", "Cache-Control: max-age=60, must-revalidate", 70, Validate, FwdStale},
		{"Cache-Control: max-stale", "Cache-Control: max-age=60, proxy-revalidate", 70, Validate, FwdStale},
		{"Cache-Control: max-stale", "Cache-Control: s-maxage=60", 70, Validate, FwdStale},
		{"Cache-Control: max-stale=9, max-age=65", "Cache-Control: max-age=60", 64, Serve, ""},
		{"Cache-Control: only-if-cached", "Cache-Control: max-age=60", 5, Serve, ""},
		{"Cache-Control: only-if-cached", "Cache-Control: max-age=60", 65, GatewayTimeout, FwdStale},
		{"Cache-Control: only-if-cached, max-stale", "Cache-Control: max-age=60", 65, Serve, ""},
		{"Cache-Control: no-store", "Cache-Control: max-age=60", 0, Miss, FwdRequest},
		{"Cache-Control: only-if-cached, no-store", "Cache-Control: max-age=60", 0, GatewayTimeout, FwdRequest},

		// RFC 8246 §2.1
		{"Cache-Control: max-age=0", "Cache-Control: max-age=60, immutable", 5, Serve, ""},
		{"Cache-Control: max-age=0", "Cache-Control: max-age=60", 5, Validate, FwdRequest},
		{"Cache-Control: no-cache", "Cache-Control: max-age=60, immutable", 5, Validate, FwdRequest},
		{"Pragma: no-cache", "Cache-Control: max-age=60, immutable", 5, Validate, FwdRequest},
		{"Cache-Control: max-age=1", "Cache-Control: max-age=60, immutable", 5, Validate, FwdRequest},
		{"Cache-Control: max-age=0", "Cache-Control: max-age=60, immutable", 65, Validate, FwdRequest},
		{"", "Cache-Control: max-age=60, immutable", 65, Validate, FwdStale},

		// RFC 5861 §3
		{"", "Cache-Control: max-age=60, stale-while-revalidate=10", 70, ServeStale, ""},
		{"", "Cache-Control: max-age=60, stale-while-revalidate=10", 71, Validate, FwdStale},
		{"Cache-Control: max-age=80", "Cache-Control: max-age=60, stale-while-revalidate=10", 65, Validate, FwdStale},
		{"", "Cache-Control: max-age=60, must-revalidate, stale-while-revalidate=10", 65, Validate, FwdStale},
		{"", "Cache-Control: max-age=60, stale-while-revalidate=0", 60, Validate, FwdStale},

		// credentials of the one who asks
		{"Cookie: a=b", "Cache-Control: max-age=60", 5, Serve, ""},
		{"Cookie: a=b", "Last-Modified: @-100000", 5, Validate, FwdRequest},
		{"Authorization: x", "Last-Modified: @-100000", 5, Validate, FwdRequest},
		{"", "Last-Modified: @-100000", 5, Serve, ""},

		{"Range: bytes=0-1,5-6", "Cache-Control: max-age=60", 5, Miss, FwdRequest},
		{"Range: lines=1-2", "Cache-Control: max-age=60", 5, Miss, FwdRequest},
		{"Range: bytes=0-1", "Cache-Control: max-age=60", 5, Serve, ""},
	} {
		s := stored(t, 200, c.resp+tagged, "")
		d := Decide(get(t, plain, c.req), []*Stored{s}, noon.Add(time.Duration(c.age)*time.Second))
		if d.Verdict != c.want || d.Fwd != c.fwd {
			t.Errorf("%s / %s at %d: %+v", c.req, c.resp, c.age, d)
		}
	}
}

func TestDecideMisses(t *testing.T) {
	req := get(t, plain, "Foo: 1")
	if d := Decide(req, nil, noon); d.Verdict != Miss || d.Fwd != FwdURIMiss || d.At != -1 {
		t.Errorf("nothing stored: %+v", d)
	}
	s := stored(t, 200, "Cache-Control: max-age=60|Vary: Foo", "Foo: 2")
	if d := Decide(req, []*Stored{s}, noon); d.Verdict != Miss || d.Fwd != FwdVaryMiss || d.At != -1 {
		t.Errorf("another variant: %+v", d)
	}
	s = stored(t, 200, "Cache-Control: max-age=60", "")
	s.Invalid = true
	if d := Decide(req, []*Stored{s}, noon); d.Verdict != Validate || d.Fwd != FwdStale || d.At != 0 {
		t.Errorf("invalidated: %+v", d)
	}
	s.Invalid = false
	signed := get(t, plain+"?"+sigV4, "")
	if d := Decide(signed, []*Stored{s}, noon); d.Verdict != Validate {
		t.Errorf("signed: %+v", d)
	}
	post := req
	post.Method = "POST"
	if d := Decide(post, []*Stored{s}, noon); d.Verdict != Miss || d.Fwd != FwdMethod {
		t.Errorf("POST: %+v", d)
	}
}

func TestStaleOnError(t *testing.T) {
	for _, c := range []struct {
		req, resp string
		stale     time.Duration
		status    int
		want      bool
	}{
		{"", "max-age=60", 5 * time.Second, 0, true},
		{"", "max-age=60", 24 * time.Hour, 0, true},
		{"", "max-age=60", 25 * time.Hour, 0, false},
		{"", "max-age=60", 5 * time.Second, 503, true},
		{"", "max-age=60", 5 * time.Second, 404, false},
		{"", "max-age=60", 5 * time.Second, 501, false},
		{"", "max-age=60, stale-if-error=10", 10 * time.Second, 500, true},
		{"", "max-age=60, stale-if-error=10", 11 * time.Second, 500, false},
		{"", "max-age=60, stale-if-error=999999", 30 * time.Hour, 0, true},
		{"", "max-age=60, stale-if-error=10, must-revalidate", 5 * time.Second, 500, false},
		{"", "s-maxage=60, stale-if-error=10", 5 * time.Second, 500, false},
		{"", "max-age=60, no-cache, stale-if-error=10", 5 * time.Second, 500, false},
		{"Cache-Control: no-cache", "max-age=60, stale-if-error=10", 5 * time.Second, 500, false},
		{"Cache-Control: max-age=0", "max-age=60, stale-if-error=10", 5 * time.Second, 500, false},
		{"Cache-Control: max-stale=3", "max-age=60", 5 * time.Second, 500, false},
		{"Cache-Control: stale-if-error=9", "max-age=60, stale-if-error=1", 5 * time.Second, 500, true},
		{"X-Forwarded-Host: x", "max-age=60", 5 * time.Second, 0, false},
	} {
		s := stored(t, 200, "Date: @0|Cache-Control: "+c.resp, "")
		if got := StaleOnError(get(t, plain, c.req), s, c.status, noon.Add(time.Minute+c.stale)); got != c.want {
			t.Errorf("%s / %s by %v, %d: %v", c.req, c.resp, c.stale, c.status, got)
		}
	}
	s := stored(t, 200, "Date: @0|Cache-Control: max-age=60", "")
	if StaleOnError(get(t, plain+"?"+sigV4, ""), s, 0, noon) {
		t.Error("a signed URL is answered without its origin")
	}
	foo := stored(t, 200, "Date: @0|Cache-Control: max-age=60|Vary: Foo", "Foo: 1")
	if !StaleOnError(get(t, plain, "Foo: 1"), foo, 0, noon) || StaleOnError(get(t, plain, "Foo: 2"), foo, 0, noon) {
		t.Error("another variant stands in, or the right one does not")
	}
	if StaleOnError(get(t, plain, ""), stored(t, 500, "Date: @0|Cache-Control: max-age=60", ""), 0, noon) {
		t.Error("an error stands in for an error")
	}
	guess := stored(t, 200, "Date: @0|Last-Modified: @-1000", "")
	if !StaleOnError(get(t, plain, ""), guess, 0, noon) || StaleOnError(get(t, plain, "Cookie: a=b"), guess, 0, noon) {
		t.Error("a response without explicit lifetime, and credentials")
	}
	if s.Invalid = true; StaleOnError(get(t, plain, ""), s, 0, noon) {
		t.Error("an invalidated response stands in")
	}
}

// Once stale, always stale: as time goes on, age grows and what is left shrinks.
func TestFreshnessIsMonotone(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	number := func() string { return strconv.FormatUint(rnd.Uint64()>>rnd.IntN(64), 10) }
	for range 2000 {
		header := "Date: @" + strconv.Itoa(rnd.IntN(1e6)-5e5) + "|Age: " + number()
		switch rnd.IntN(4) {
		case 0:
			header += "|Cache-Control: max-age=" + number() + ", stale-while-revalidate=" + number()
		case 1:
			header += "|Expires: @" + strconv.Itoa(rnd.IntN(1e6)-5e5)
		case 2:
			header += "|Last-Modified: @-" + strconv.Itoa(rnd.IntN(1e9))
		}
		s := Stored{Status: 200, Header: fields(header), Requested: noon.Add(-time.Duration(rnd.Int64N(1e11))), Received: noon, Complete: true}
		req := get(t, plain, "")
		a := noon.Add(time.Duration(rnd.Int64N(1 << (10 + rnd.IntN(50)))))
		b := a.Add(time.Duration(rnd.Int64N(1 << (10 + rnd.IntN(50)))))
		f := s.Freshness()
		if f.Age(b) < f.Age(a) || f.Left(b) > f.Left(a) || f.Age(a) < 0 {
			t.Fatalf("%s: age %v then %v", header, f.Age(a), f.Age(b))
		}
		rank := func(now time.Time) int {
			return map[Verdict]int{Serve: 0, ServeStale: 1, Validate: 2}[Decide(req, []*Stored{&s}, now).Verdict]
		}
		if rank(b) < rank(a) {
			t.Fatalf("%s: fresher at %v than at %v", header, b, a)
		}
	}
}
