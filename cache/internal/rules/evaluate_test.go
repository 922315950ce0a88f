package rules

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"testing"

	ranges "dtpx/range"
)

func TestETags(t *testing.T) {
	for _, c := range []struct {
		a, b         string
		strong, weak bool
	}{
		{`"1"`, `"1"`, true, true}, {`W/"1"`, `W/"1"`, false, true}, {`W/"1"`, `"1"`, false, true}, {`W/"1"`, `W/"2"`, false, false},
		{`"1"`, `"2"`, false, false}, {`""`, `""`, true, true}, {`1`, `1`, false, true}, {`1`, `"1"`, false, false},
		{`w/"1"`, `W/"1"`, false, false}, {`"a`, `"a`, false, true}, {`"a"b"`, `"a"b"`, false, true}, {"\"\x01\"", "\"\x01\"", false, true},
	} {
		a, ok1 := parseETag(c.a)
		b, ok2 := parseETag(c.b)
		if !ok1 || !ok2 || a.strongly(b) != c.strong || a.weakly(b) != c.weak || b.strongly(a) != c.strong || b.weakly(a) != c.weak {
			t.Errorf("%s %s: strong %v, weak %v", c.a, c.b, a.strongly(b), a.weakly(b))
		}
	}
	for _, s := range []string{"", " ", "a,b", "a\nb"} {
		if tag, ok := parseETag(s); ok {
			t.Errorf("%q is %+v", s, tag)
		}
	}
	for header, want := range map[string]string{`ETag: "a"`: `"a"`, `ETag: W/"a"`: "", "ETag: a": "", `ETag: "a"|ETag: "a"`: "", "": "", `ETag: "a", "b"`: ""} {
		if got := strongETag(fields(header)); got != want {
			t.Errorf("%s: %q", header, got)
		}
	}
}

func TestETagLists(t *testing.T) {
	for _, c := range []struct {
		lines []string
		want  []string
		star  bool
	}{
		{[]string{`"a", W/"b,c" ,,"d"`, `e`}, []string{`"a"`, `W/"b,c"`, `"d"`, "e"}, false},
		{[]string{"*"}, nil, true},
		{[]string{`"*"`}, []string{`"*"`}, false},
		{[]string{`"a`, `W/"`, `"a"x, "b"`}, []string{`"a`, `W/"`, `"a"x`, `"b"`}, false},
		{[]string{"", " , "}, nil, false},
	} {
		tags, star := parseETags(c.lines)
		if len(tags) != len(c.want) || star != c.star {
			t.Errorf("%q: %+v %v", c.lines, tags, star)
			continue
		}
		for i := range tags {
			if tags[i].text != c.want[i] {
				t.Errorf("%q: %+v", c.lines, tags)
			}
		}
	}
}

func TestEvaluate(t *testing.T) {
	const resp = `ETag: "a"|Last-Modified: @-100|Date: @0|Content-Length: 100`
	r := func(a, b int64) ranges.Range { return ranges.Range{Start: a, End: b} }
	for _, c := range []struct {
		req, resp string
		want      AnswerKind
		at        ranges.Range
	}{
		{"", resp, Whole, r(0, 100)},

		// RFC 9110 §13.1.2, §13.1.3, §13.2.2
		{`If-None-Match: "a"`, resp, NotModified, r(0, 0)},
		{`If-None-Match: W/"a"`, resp, NotModified, r(0, 0)},
		{`If-None-Match: "b"`, resp, Whole, r(0, 100)},
		{`If-None-Match: "b"|If-None-Match: "c", "a"`, resp, NotModified, r(0, 0)},
		{"If-None-Match: *", resp, NotModified, r(0, 0)},
		{"If-None-Match: *", "Content-Length: 100", NotModified, r(0, 0)},
		{`If-None-Match: "a"`, "Content-Length: 100", Whole, r(0, 100)},
		{`If-None-Match: "b"|If-Modified-Since: @0`, resp, Whole, r(0, 100)},
		{"If-Modified-Since: @-100", resp, NotModified, r(0, 0)},
		{"If-Modified-Since: @-101", resp, Whole, r(0, 100)},
		{"If-Modified-Since: tomorrow", resp, Whole, r(0, 100)},
		{"If-Modified-Since: @0|If-Modified-Since: @0", resp, Whole, r(0, 100)},
		{"If-Modified-Since: @-5", "Date: @0|Content-Length: 100", Whole, r(0, 100)},
		{"If-Modified-Since: @0", "Date: @0|Content-Length: 100", NotModified, r(0, 0)},
		{"If-Modified-Since: @0", "Date: x|Content-Length: 100", NotModified, r(0, 0)}, // it came at noon

		// §13.1.1, §13.1.4: the origin's to refuse
		{`If-Match: "a"`, resp, Whole, r(0, 100)},
		{"If-Match: *", resp, Whole, r(0, 100)},
		{`If-Match: "b", "c"`, resp, Elsewhere, r(0, 0)},
		{`If-Match: W/"a"`, resp, Elsewhere, r(0, 0)},
		{`If-Match: "a"|If-None-Match: "a"`, resp, NotModified, r(0, 0)},
		{`If-Match: "b"|If-None-Match: "a"`, resp, Elsewhere, r(0, 0)},
		{"If-Unmodified-Since: @-100", resp, Whole, r(0, 100)},
		{"If-Unmodified-Since: @-101", resp, Elsewhere, r(0, 0)},
		{"If-Unmodified-Since: x", resp, Whole, r(0, 100)},
		{`If-Match: "a"|If-Unmodified-Since: @-101`, resp, Whole, r(0, 100)},

		// §14
		{"Range: bytes=0-0", resp, Part, r(0, 1)},
		{"Range: bytes=10-19", resp, Part, r(10, 20)},
		{"Range: bytes=90-", resp, Part, r(90, 100)},
		{"Range: bytes=90-1000", resp, Part, r(90, 100)},
		{"Range: bytes=-10", resp, Part, r(90, 100)},
		{"Range: bytes=-1000", resp, Part, r(0, 100)},
		{"Range: bytes=100-", resp, Unsatisfiable, r(0, 0)},
		{"Range: bytes=1-0", resp, Elsewhere, r(0, 0)},
		{"Range: bytes=-0", resp, Elsewhere, r(0, 0)},
		{"Range: bytes=0-1,5-6", resp, Elsewhere, r(0, 0)},
		{"Range: lines=0-1", resp, Elsewhere, r(0, 0)},
		{"Range: bytes=0-", "Content-Length: 0", Unsatisfiable, r(0, 0)},
		{"Range: bytes=-5", "Content-Length: 0", Whole, r(0, 0)},
		{"Range: bytes=0-1", `ETag: "a"`, Elsewhere, r(0, 0)}, // length not known
		{`Range: bytes=0-1|If-None-Match: "a"`, resp, NotModified, r(0, 0)},

		// §13.1.5
		{`Range: bytes=0-1|If-Range: "a"`, resp, Part, r(0, 2)},
		{`Range: bytes=0-1|If-Range: "b"`, resp, Whole, r(0, 100)},
		{`Range: bytes=0-1|If-Range: W/"a"`, resp, Whole, r(0, 100)},
		{`Range: bytes=0-1|If-Range: W/"a"`, `ETag: W/"a"|Content-Length: 100`, Whole, r(0, 100)},
		{`Range: bytes=0-1|If-Range: a`, "ETag: a|Content-Length: 100", Whole, r(0, 100)},
		{`Range: bytes=0-1|If-Range: "a"|If-Range: "a"`, resp, Whole, r(0, 100)},
		{"Range: bytes=0-1|If-Range: @-100", resp, Part, r(0, 2)},
		{"Range: bytes=0-1|If-Range: @-50", resp, Whole, r(0, 100)},
		{"Range: bytes=0-1|If-Range: @-150", resp, Whole, r(0, 100)},
		{"Range: bytes=0-1|If-Range: @-30", "Last-Modified: @-30|Date: @0|Content-Length: 100", Whole, r(0, 100)}, // too young to be strong
		{"Range: bytes=0-1|If-Range: @-100", "Content-Length: 100|Date: @0", Whole, r(0, 100)},
		{`If-Range: "b"`, resp, Whole, r(0, 100)},
		{`Range: bytes=0-1|If-Range: "b"|If-Match: "a"`, resp, Whole, r(0, 100)},
	} {
		s := stored(t, 200, c.resp, "")
		a := Evaluate(get(t, plain, c.req), s)
		if a.Kind != c.want || a.Range != c.at {
			t.Errorf("%s / %s: %+v, want %v %v", c.req, c.resp, a, c.want, c.at)
		}
	}
}

// RFC 9110 §13.2.1, §14.2: what is no 2xx has no preconditions, what is no 200
// has no ranges, and Range is for GET.
func TestEvaluateOther(t *testing.T) {
	req := get(t, plain, `If-None-Match: "a"|If-Match: "b"|Range: bytes=0-1`)
	if a := Evaluate(req, stored(t, 404, `ETag: "a"|Content-Length: 100`, "")); a.Kind != Whole {
		t.Errorf("404: %+v", a)
	}
	req = get(t, plain, "Range: bytes=0-1")
	if a := Evaluate(req, stored(t, 203, "Content-Length: 100", "")); a.Kind != Whole {
		t.Errorf("203: %+v", a)
	}
	req.Method = http.MethodHead
	if a := Evaluate(req, stored(t, 200, "Content-Length: 100", "")); a.Kind != Whole {
		t.Errorf("HEAD: %+v", a)
	}
}

// RFC 9111 §3.3: an incomplete response answers what it holds.
func TestEvaluateIncomplete(t *testing.T) {
	s := stored(t, 200, `ETag: "a"|Content-Length: 100`, "")
	s.Complete, s.Held = false, []ranges.Range{{Start: 0, End: 10}, {Start: 50, End: 60}}
	for req, held := range map[string]bool{
		"": false, "Range: bytes=0-9": true, "Range: bytes=0-10": false, "Range: bytes=5-5": true, "Range: bytes=50-59": true,
		"Range: bytes=9-50": false, "Range: bytes=-1": false, `If-None-Match: "a"`: true, "Range: bytes=100-": true,
	} {
		if a := Evaluate(get(t, plain, req), s); a.Held != held {
			t.Errorf("%s: %+v", req, a)
		}
	}
	if !wants(get(t, plain, "Range: bytes=0-9"), s) || wants(get(t, plain, ""), s) {
		t.Error("asked about what could not be answered")
	}
}

// No Range, however odd, gets bytes that are not there, and the header section
// says what the answer is.
func TestPartsStayInside(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	number := func() string { return strconv.FormatUint(rnd.Uint64()>>(1+rnd.IntN(63)), 10) }
	for range 5000 {
		total := rnd.Int64N(1 << (1 + rnd.IntN(40)))
		field := []string{number() + "-" + number(), number() + "-", "-" + number()}[rnd.IntN(3)]
		s := stored(t, 200, `ETag: "a"|Content-Length: `+strconv.FormatInt(total, 10), "")
		a := Evaluate(get(t, plain, "Range: bytes="+field), s)
		if a.Range.Start < 0 || a.Range.End > total || a.Kind == Part && a.Range.Empty() {
			t.Fatalf("%s of %d: %+v", field, total, a)
		}
		status, h := Respond(s, a, noon, false)
		if a.Kind != Part {
			continue
		}
		cr, err := ranges.ParseContentRange(h.Get("Content-Range"))
		if err != nil || status != 206 || cr.Range != a.Range || cr.Total != total || h.Get("Content-Length") != strconv.FormatInt(a.Range.Len(), 10) {
			t.Fatalf("%s of %d: %d %v", field, total, status, h)
		}
	}
}
