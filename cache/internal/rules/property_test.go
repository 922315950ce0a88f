package rules

import (
	"math/rand/v2"
	"net/http"
	"testing"

	ranges "dtpx/range"
)

var (
	someDirectives = []string{"public", "max-age=60", "s-maxage=60", "must-revalidate", "immutable", "max-age=0", "stale-if-error=60", "x=1",
		`ext="a, b"`, "no-transform", "no-cache", `no-cache="x"`, "max-age=x"}
	someFields = []string{`ETag: "a"`, "Last-Modified: @-1000", "Expires: @1000", "Vary: Foo", "Age: 3", "Content-Length: 5", "Via: 1.1 x", "X: 1"}
	some4xx    = []int{400, 401, 407, 408, 411, 412, 413, 415, 416, 417, 421, 422, 425, 426, 428, 429, 431, 499, 511}
)

func pickSome(rnd *rand.Rand, from []string, sep string) (s string) {
	for range rnd.IntN(5) {
		s += from[rnd.IntN(len(from))] + sep
	}
	return s
}

func randomResponse(rnd *rand.Rand, extra string) Response {
	cc := pickSome(rnd, someDirectives, ", ") + extra + pickSome(rnd, someDirectives, "|Cache-Control: ")
	return answer([]int{200, 203, 301, 404, 500}[rnd.IntN(5)], pickSome(rnd, someFields, "|")+"Cache-Control: "+cc)
}

// no-store and private keep a response out, whatever else is said. (The one
// exception is must-understand, which is not among the rest here.)
func TestNoStoreWins(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 8))
	stored := 0
	for range 3000 {
		forms := []string{"no-store", "NO-Store", "no-store=1", "private", `private="x, y"`, "PRIVATE;a", " \tno-store\t"}
		req := get(t, plain, pickSome(rnd, []string{"Foo: 1", "Accept: */*", "Accept-Encoding: gzip"}, "|"))
		word := forms[rnd.IntN(len(forms))]
		if resp := randomResponse(rnd, word+", "); storable(req, resp) {
			t.Fatalf("%s: %v", word, resp.Header)
		}
		resp := randomResponse(rnd, "")
		if storable(req, resp) {
			stored++
		}
		req.Header.Add("Cache-Control", pickSome(rnd, someDirectives, ", ")+"no-store")
		if storable(req, resp) {
			t.Fatalf("request %v: %v", req.Header, resp.Header)
		}
	}
	if stored < 500 {
		t.Errorf("only %d of 3000 were storable without it", stored)
	}
}

func storable(req Request, resp Response) bool {
	ok, _ := Storable(req, resp)
	return ok
}

// What is about one request is never stored, whatever it says of itself.
func TestRefusalsAreNeverStored(t *testing.T) {
	rnd := rand.New(rand.NewPCG(9, 10))
	for range 3000 {
		resp := randomResponse(rnd, "public, max-age=60, ")
		resp.Status = some4xx[rnd.IntN(len(some4xx))]
		if storable(get(t, plain, ""), resp) {
			t.Fatalf("%d %v", resp.Status, resp.Header)
		}
	}
}

// A response to a request with credentials reaches others only if it says that
// it is for all, and never with a cookie in it.
func TestCredentialsStayPrivate(t *testing.T) {
	rnd := rand.New(rand.NewPCG(11, 12))
	for range 3000 {
		f := append([]string{"Cookie", "Authorization"}, ranges.TokenFields...)[rnd.IntN(2+len(ranges.TokenFields))]
		req := get(t, plain, f+": secret")
		resp := randomResponse(rnd, "")
		resp.Header.Set("Set-Cookie", "a=b")
		if !storable(req, resp) {
			continue
		}
		if d := responseDirectives(resp.Header); !d.public {
			t.Fatalf("%s: %v", f, resp.Header)
		}
		if s := Keep(req, resp); len(s.Header["Set-Cookie"]) > 0 || len(s.Select[f]) > 0 {
			t.Fatalf("kept: %v %v", s.Header, s.Select)
		}
	}
}

// Whatever is stored, a request that the cache may not meet is never answered
// from it, and only-if-cached never goes to the origin.
func TestVerdictsAreSafe(t *testing.T) {
	rnd := rand.New(rand.NewPCG(13, 14))
	served := 0
	for range 3000 {
		req := get(t, plain, pickSome(rnd, []string{"Foo: 1", "Cookie: a=b", "X-Forwarded-Host: x", "Cache-Control: max-age=5",
			"Cache-Control: only-if-cached", "Cache-Control: max-stale", "Range: bytes=0-1", "Range: bytes=0-1,3-4"}, "|"))
		req.Method = []string{http.MethodGet, http.MethodHead, http.MethodPost}[rnd.IntN(3)]
		var have []*Stored
		for range rnd.IntN(3) {
			s := Keep(req, randomResponse(rnd, ""))
			s.Complete = true
			have = append(have, &s)
		}
		d := Decide(req, have, noon)
		serve := d.Verdict == Serve || d.Verdict == ServeStale
		if serve {
			served++
		}
		if serve && (Bypass(req) != "" || d.At < 0 || d.Fwd != "") || d.Verdict == Validate && d.At < 0 {
			t.Fatalf("%s %v: %+v", req.Method, req.Header, d)
		}
		if requestDirectives(req.Header).onlyIfCached && (d.Verdict == Miss || d.Verdict == Validate) {
			t.Fatalf("%v: %+v", req.Header, d)
		}
	}
	if served < 200 {
		t.Errorf("only %d of 3000 were served", served)
	}
}
