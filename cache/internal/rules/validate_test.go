package rules

import (
	"fmt"
	"slices"
	"testing"
	"time"

	ranges "dtpx/range"
)

func TestRevalidation(t *testing.T) {
	a := stored(t, 200, `ETag: "a"|Last-Modified: @-100|Vary: Foo`, "Foo: 1")
	b := stored(t, 200, `ETag: W/"b"|Vary: Foo`, "Foo: 2")
	dated := stored(t, 200, "Last-Modified: @-100", "")
	bare := stored(t, 200, "Cache-Control: max-age=1", "")
	partial := stored(t, 200, `ETag: "p"|Content-Length: 100`, "")
	partial.Complete, partial.Held = false, []ranges.Range{{Start: 0, End: 50}}
	for _, c := range []struct {
		name, req string
		have      []*Stored
		at        int
		want      string
	}{
		{"all candidates, and the date of the chosen one", "Foo: 1", []*Stored{a, b}, 0, `Foo: 1|If-None-Match: "a", W/"b"|If-Modified-Since: @-100`},
		{"another variant", "Foo: 3", []*Stored{a, b}, -1, `Foo: 3|If-None-Match: "a", W/"b"`},
		{"date only", "", []*Stored{dated}, 0, "If-Modified-Since: @-100"},
		{"the client's tags, too", `If-None-Match: "c", "a"`, []*Stored{a}, 0, `If-None-Match: "a", "c"|If-Modified-Since: @-100`},
		{"the client's date is replaced", "If-Modified-Since: @-5000", []*Stored{dated}, 0, "If-Modified-Since: @-100"},
		{"the client's date is removed", "If-Modified-Since: @-5000", []*Stored{b}, 0, `If-None-Match: W/"b"`},
		{"nothing to ask about", "If-Modified-Since: @-5000", []*Stored{bare}, 0, "If-Modified-Since: @-5000"},
		{"a date says nothing beside the client's tags", `If-None-Match: "c"`, []*Stored{dated}, 0, `If-None-Match: "c"`},
		{"any", "If-None-Match: *", []*Stored{a}, 0, "If-None-Match: *"},
		{"incomplete", "", []*Stored{partial}, 0, ""},
		{"incomplete, but holds the range", "Range: bytes=10-19", []*Stored{partial}, 0, `Range: bytes=10-19|If-None-Match: "p"`},
		{"range and if-range stay", `Range: bytes=10-19|If-Range: "p"`, []*Stored{b}, 0, `Range: bytes=10-19|If-Range: "p"|If-None-Match: W/"b"`},
	} {
		got := Revalidation(get(t, plain, c.req), c.have, c.at)
		if fmt.Sprint(got) != fmt.Sprint(fields(c.want)) {
			t.Errorf("%s: %v, want %v", c.name, got, fields(c.want))
		}
	}
	odd := stored(t, 200, `ETag: "odd`, "")
	if h := Revalidation(get(t, plain, ""), []*Stored{odd, b}, 0); h.Get("If-None-Match") != `W/"b"` {
		t.Errorf("a malformed tag beside another: %v", h)
	}
	if h := Revalidation(Request{Method: "GET"}, []*Stored{odd}, 0); h.Get("If-None-Match") != `"odd` {
		t.Errorf("a malformed tag alone: %v", h)
	}
	var many []*Stored
	for i := range 100 {
		many = append(many, stored(t, 200, fmt.Sprintf(`ETag: "%d"`, i), ""))
	}
	tags, _ := parseETags(Revalidation(get(t, plain, ""), many, 99)["If-None-Match"])
	if len(tags) != mostTags+1 || tags[mostTags].text != `"99"` {
		t.Errorf("%d tags", len(tags))
	}
}

func TestCompletion(t *testing.T) {
	s := stored(t, 200, `ETag: "a"|Content-Length: 100`, "")
	h, ok := Completion(get(t, plain, `Foo: 1|If-None-Match: "a"|If-Modified-Since: @0|Range: bytes=0-`), s, ranges.Range{Start: 40, End: 100})
	if !ok || fmt.Sprint(h) != fmt.Sprint(fields(`Foo: 1|Range: bytes=40-99|If-Range: "a"`)) {
		t.Errorf("%v %v", h, ok)
	}
	if h, ok := Completion(Request{Method: "GET"}, s, ranges.Range{Start: 1, End: 2}); !ok || h.Get("Range") != "bytes=1-1" {
		t.Errorf("%v %v", h, ok)
	}
	for _, resp := range []string{`ETag: W/"a"|Content-Length: 100`, `ETag: "a"`, "Last-Modified: @-9999|Content-Length: 100"} {
		if _, ok := Completion(get(t, plain, ""), stored(t, 200, resp, ""), ranges.Range{Start: 40, End: 100}); ok {
			t.Errorf("%s is completed", resp)
		}
	}
}

// RFC 9111 §4.3.4.
func TestFreshen(t *testing.T) {
	at := func(date int, header string) *Stored {
		return stored(t, 200, fmt.Sprintf("Date: @%d|%s", date, header), "")
	}
	a, again := at(1, `ETag: "a"`), at(2, `ETag: "a"`)
	weak, newerWeak := at(1, `ETag: W/"a"`), at(2, `ETag: W/"a"`)
	b := at(5, `ETag: "b"`)
	dated := at(1, "Last-Modified: @-100")
	both := at(1, `ETag: "a"|Last-Modified: @-100`)
	for _, c := range []struct {
		name, req, resp string
		have            []*Stored
		update          []int
		own             bool
	}{
		{"every one with the strong tag", "", `ETag: "a"`, []*Stored{a, b, again}, []int{0, 2}, false},
		{"another strong tag", "", `ETag: "x"`, []*Stored{a, b}, nil, false},
		{"strong in the answer, weak in store", "", `ETag: "a"`, []*Stored{weak}, nil, false},
		{"the client's own copy", `If-None-Match: "c"`, `ETag: "c"`, []*Stored{a}, nil, true},
		{"the client's and ours", `If-None-Match: "a"`, `ETag: "a"`, []*Stored{a}, []int{0}, false},
		{"weak: the most recent", "", `ETag: W/"a"`, []*Stored{weak, newerWeak, b}, []int{1}, false},
		{"weakened on the way", "", `ETag: W/"a"`, []*Stored{a, b}, []int{0}, false},
		{"date", "", "Last-Modified: @-100", []*Stored{dated}, []int{0}, false},
		{"another date", "", "Last-Modified: @-50", []*Stored{dated}, nil, false},
		{"date for what has a tag", "", "Last-Modified: @-100", []*Stored{both, b}, []int{0}, false},
		{"date, and the client asked, too", `If-None-Match: "c"`, "Last-Modified: @-100", []*Stored{both}, nil, false},
		{"no validator, one asked about", "", "", []*Stored{a}, []int{0}, false},
		{"no validator, two asked about", "", "", []*Stored{a, b}, nil, false},
		{"no validator, and the client asked, too", `If-None-Match: "c"`, "", []*Stored{a}, nil, false},
		{"no validator, the client asked the same", `If-None-Match: "a"`, "", []*Stored{a}, []int{0}, false},
		{"nothing of ours was asked about", `If-None-Match: "c"`, "", []*Stored{dated}, nil, true},
		{"any", "If-None-Match: *", `ETag: "a"`, []*Stored{a}, nil, true},
	} {
		update, own := Freshen(get(t, plain, c.req), c.have, 0, answer(304, c.resp))
		if !slices.Equal(update, c.update) || own != c.own {
			t.Errorf("%s: %v %v", c.name, update, own)
		}
	}
}

// A 304 for who cannot read gzip is not about what is stored in gzip, whatever
// the tags say.
func TestFreshenVariants(t *testing.T) {
	for _, c := range []struct {
		stored, req, resp string
		at                int
		want              int
	}{
		{`ETag: "a"|Content-Encoding: gzip|Vary: Accept-Encoding`, "", `ETag: "a"`, -1, 0},
		{`ETag: W/"a"|Content-Encoding: gzip|Vary: Accept-Encoding`, "", `ETag: W/"a"`, -1, 0},
		{`ETag: "a"|Content-Encoding: gzip|Vary: Accept-Encoding`, "", "", -1, 0},
		{`ETag: "a"|Content-Encoding: gzip|Vary: Accept-Encoding`, "Accept-Encoding: br, gzip", `ETag: "a"`, -1, 1},
		{`ETag: "a"|Vary: Foo`, "Foo: 1", `ETag: "a"`, -1, 1},
		{`ETag: W/"a"|Vary: Foo`, "Foo: 1", `ETag: W/"a"`, -1, 0},
		{`ETag: W/"a"|Content-Encoding: gzip|Vary: Accept-Encoding`, "Accept-Encoding: gzip", `ETag: W/"a"`, 0, 1},
	} {
		s := stored(t, 200, c.stored, "Accept-Encoding: gzip")
		if update, own := Freshen(get(t, plain, c.req), []*Stored{s}, c.at, answer(304, c.resp)); len(update) != c.want || own {
			t.Errorf("%+v: %v %v", c, update, own)
		}
	}
	a, b := stored(t, 200, `ETag: "a"`, ""), stored(t, 200, `ETag: "a"`, "")
	if update, _ := Freshen(get(t, plain, ""), []*Stored{a, b}, 1, answer(304, `ETag: "a"`)); !slices.Equal(update, []int{1, 0}) {
		t.Errorf("the chosen one is not the first: %v", update)
	}
}

// A signed URL is answered with stored bytes only if tag and size are proven.
func TestFreshenSigned(t *testing.T) {
	req := get(t, plain+"?"+sigV4, "")
	s := stored(t, 200, `ETag: "a"|Content-Length: 100`, "")
	for resp, want := range map[string]bool{
		`ETag: "a"`: true, `ETag: "a"|Content-Length: 100`: true, `ETag: "a"|Content-Length: 0`: true, `ETag: "a"|Content-Length: 99`: false,
		"": false, `ETag: W/"a"`: false, `ETag: "b"`: false,
	} {
		update, _ := Freshen(req, []*Stored{s}, 0, answer(304, resp))
		if (len(update) == 1) != want {
			t.Errorf("304 %s: %v", resp, update)
		}
	}
	for _, c := range []struct {
		status int
		resp   string
		want   bool
	}{
		{206, `ETag: "a"|Content-Range: bytes 0-0/100`, true}, {206, `ETag: "a"|Content-Range: bytes 0-0/101`, false},
		{206, `ETag: "a"|Content-Range: bytes 0-0/*`, false}, {206, `ETag: "b"|Content-Range: bytes 0-0/100`, false},
		{200, `ETag: "a"|Content-Length: 100`, true}, {200, `ETag: "a"`, false}, {200, `ETag: "a"|Content-Length: 100|Content-Encoding: gzip`, false},
		{404, `ETag: "a"|Content-Length: 100`, false},
	} {
		if Confirms(answer(c.status, c.resp), s) != c.want {
			t.Errorf("%d %s", c.status, c.resp)
		}
	}
	if Confirms(answer(304, `ETag: W/"a"`), stored(t, 200, `ETag: W/"a"|Content-Length: 100`, "")) {
		t.Error("a weak tag proves a version")
	}
}

// RFC 9111 §3.2.
func TestRefresh(t *testing.T) {
	s := stored(t, 200, `Cache-Control: max-age=9|ETag: "a"|Date: @0|Age: 7|Content-Length: 100|Content-Encoding: gzip|X-Old: 1|Content-Type: a/b`, "")
	s.Invalid = true
	resp := answer(304, `Cache-Control: max-age=60|ETag: W/"a"|Date: @5|Content-Length: 0|Content-Encoding: br|Content-Range: x|X-New: 2|Content-Type: c/d`+
		"|Content-Digest: sha-256=:x:|Set-Cookie: a=b|Connection: X-Hop|X-Hop: 1|Transfer-Encoding: chunked")
	resp.Received = noon.Add(5 * time.Second)
	got, e := Refresh(s, get(t, plain, ""), resp)
	want := fields(`Cache-Control: max-age=60|ETag: "a"|Date: @5|Content-Length: 100|Content-Encoding: gzip|X-Old: 1|X-New: 2|Content-Type: c/d`)
	if fmt.Sprint(got.Header) != fmt.Sprint(want) || e != Replace || got.Invalid || !got.Received.Equal(resp.Received) {
		t.Errorf("%v %v, want %v", e, got.Header, want)
	}
	if !has(s.Header, "Age") || !s.Invalid {
		t.Error("what was stored has changed")
	}
	for _, c := range []struct {
		req, stored, resp string
		want              Effect
	}{
		{"", "Cache-Control: max-age=9", "Cache-Control: no-store", Drop},
		{"", "Cache-Control: max-age=9", "Cache-Control: private", Drop},
		{"", "Cache-Control: max-age=9", "Vary: *", Drop},
		{"", "Cache-Control: max-age=9", "", Replace},
		{"Authorization: x", "Cache-Control: max-age=9", "X-User: me", AnswerOnly},
		{"Authorization: x", "Cache-Control: max-age=9", "Cache-Control: private", AnswerOnly},
		{"Cookie: x", "Cache-Control: max-age=9, public", "", Replace},
		{"", "Cache-Control: max-age=9", "Set-Cookie: a=b", Replace},
	} {
		if _, e := Refresh(stored(t, 200, c.stored, ""), get(t, plain, c.req), answer(304, c.resp)); e != c.want {
			t.Errorf("%+v: %v", c, e)
		}
	}
}

// A newer Vary takes its fields from the request that was confirmed.
func TestRefreshVary(t *testing.T) {
	s := stored(t, 200, `ETag: "a"|Vary: Foo`, "Foo: 1")
	got, _ := Refresh(s, get(t, plain, "Foo: 1|Bar: 2"), answer(304, "Vary: Foo, Bar"))
	if !got.Selects(fields("Foo: 1|Bar: 2")) || got.Selects(fields("Foo: 1")) {
		t.Errorf("selects by %v", got.Select)
	}
	got, _ = Refresh(s, get(t, plain, "Foo: 9"), answer(304, "")) // it was the right variant for this one, too
	if !got.Selects(fields("Foo: 1")) {
		t.Errorf("selects by %v", got.Select)
	}
}

// Where the one that was confirmed is not the one that it was stored for, nobody knows what
// that request had in a field that is new in Vary.
func TestRefreshVaryOfAnother(t *testing.T) {
	s := stored(t, 200, `ETag: "a"|Vary: Foo|Cache-Control: max-age=9`, "Foo: 1|Bar: 1")
	for vary, want := range map[string]Effect{"Foo, Bar": AnswerOnly, "bar": AnswerOnly, "Foo": Replace, "foo, FOO": Replace, "": Replace} {
		if _, e := Refresh(s, get(t, plain, "Foo: 9"), answer(304, "Vary: "+vary)); e != want {
			t.Errorf("%q: %v", vary, e)
		}
	}
}

// RFC 9111 §4.3.5.
func TestFreshenByHead(t *testing.T) {
	for _, c := range []struct {
		stored, head string
		status       int
		want         HeadEffect
	}{
		{`ETag: "a"|Content-Length: 100`, `ETag: "a"|Content-Length: 100`, 200, HeadUpdates},
		{`ETag: "a"|Content-Length: 100`, "", 200, HeadUpdates},
		{`ETag: "a"|Content-Length: 100`, `ETag: "b"`, 200, HeadEnds},
		{"Content-Length: 100", `ETag: "b"`, 200, HeadEnds},
		{`ETag: "a"|Content-Length: 100`, "Content-Length: 99", 200, HeadEnds},
		{`ETag: "a"|Content-Length: 100`, "Content-Length: 99|Content-Length: 100", 200, HeadEnds},
		{"Last-Modified: @-100", "Last-Modified: @-100", 200, HeadUpdates},
		{"Last-Modified: @-100", "Last-Modified: @-99", 200, HeadEnds},
		{`ETag: "a"`, `ETag: "a"|Content-Encoding: gzip`, 200, HeadEnds},
		{`ETag: "a"`, `ETag: "b"`, 404, HeadNothing},
		{`ETag: "a"|Vary: Foo`, `ETag: "b"`, 200, HeadNothing},
	} {
		req := get(t, plain, "Foo: 1")
		req.Method = "HEAD"
		if got := FreshenByHead(req, stored(t, 200, c.stored, ""), answer(c.status, c.head)); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
	req := get(t, plain, "")
	if FreshenByHead(req, stored(t, 200, `ETag: "a"`, ""), answer(200, `ETag: "b"`)) != HeadNothing {
		t.Error("a GET is taken for a HEAD")
	}
	req.Method, req.Host = "HEAD", "evil.example"
	if FreshenByHead(req, stored(t, 200, `ETag: "a"`, ""), answer(200, `ETag: "b"`)) != HeadNothing {
		t.Error("a request for another host ends an entry")
	}
}

func TestVersions(t *testing.T) {
	v := func(status int, header string) Version {
		v, ok := VersionOf(answer(status, header))
		if !ok {
			return Version{}
		}
		return v
	}
	whole := v(200, `ETag: "a"|Content-Length: 100`)
	if whole == (Version{}) || whole != v(206, `ETag: "a"|Content-Range: bytes 5-9/100`) {
		t.Error("a part is not of the whole's version")
	}
	for _, other := range []Version{
		v(206, `ETag: "b"|Content-Range: bytes 5-9/100`), v(206, `ETag: "a"|Content-Range: bytes 5-9/101`), v(206, `ETag: "a"|Content-Range: bytes 5-9/*`),
		v(206, `ETag: W/"a"|Content-Range: bytes 5-9/100`), v(206, `ETag: "a"|Content-Range: bytes 5-9/100|Content-Encoding: gzip`),
		v(206, `ETag: "a"|Content-Length: 100`), v(404, `ETag: "a"|Content-Length: 100`),
	} {
		if other == whole {
			t.Errorf("%+v is taken for the same", other)
		}
	}
	s := stored(t, 200, `ETag: "a"|Content-Length: 100`, "")
	if got, ok := s.Version(); !ok || got != whole {
		t.Errorf("%+v", got)
	}
	if _, ok := stored(t, 404, `ETag: "a"|Content-Length: 100`, "").Version(); ok {
		t.Error("a 404 has a version")
	}
}
