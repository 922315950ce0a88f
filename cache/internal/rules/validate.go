package rules

import (
	"net/http"
	"slices"
	"strings"

	ranges "dtpx/range"
)

// mostTags bounds If-None-Match: a section that is too long is refused.
const mostTags = 32

// Revalidation is the header section that asks the origin about what is stored
// for req (RFC 9111 §4.3.1), at being Decide's choice or -1: If-None-Match with
// the tags of all candidates and the client's own, If-Modified-Since from the
// choice. Range and If-Range stay, so that another version comes as the client
// asked for it. Where nothing stored can be asked about, it is the client's.
func Revalidation(req Request, have []*Stored, at int) http.Header {
	h := req.Header.Clone()
	if h == nil {
		h = http.Header{}
	}
	n := nominate(req, have, at)
	if n.empty() {
		return h
	}
	if len(n.tags) > 0 {
		h["If-None-Match"] = []string{strings.Join(n.tags, ", ")}
	}
	delete(h, "If-Modified-Since")
	if n.modified != "" {
		h["If-Modified-Since"] = []string{n.modified}
	}
	return h
}

// nominees are what a validation names. own counts the client's tags that no
// stored response has.
type nominees struct {
	tags     []string
	modified string
	stored   []int // who they belong to
	own      int
}

func (n nominees) empty() bool { return len(n.stored) == 0 }

// nominate leaves out incomplete responses that do not hold what is asked for:
// a 304 would be of no use (RFC 9111 §4.3.2). Completion is for them.
func nominate(req Request, have []*Stored, at int) (n nominees) {
	own, star := parseETags(req.Header["If-None-Match"])
	if star {
		return nominees{} // "any": the origin's answer says nothing about ours
	}
	for i, s := range have {
		t, ok := etagOf(s.Header)
		odd := !t.valid && len(have) > 1 // it could make one of its neighbours and itself
		if ok && !odd && wants(req, s) && (len(n.tags) < mostTags || i == at) {
			n.add(i, t.text)
		}
	}
	if len(own) == 0 || len(n.tags) > 0 {
		n.date(req, have, at)
	}
	for _, t := range own {
		if !n.empty() && !slices.Contains(n.tags, t.text) {
			n.tags = append(n.tags, t.text)
			n.own++
		}
	}
	return n
}

func (n *nominees) add(i int, tag string) {
	n.stored = append(n.stored, i)
	if !slices.Contains(n.tags, tag) {
		n.tags = append(n.tags, tag)
	}
}

// date names the choice by its Last-Modified, which counts only where no tag is
// sent (RFC 9110 §13.1.3).
func (n *nominees) date(req Request, have []*Stored, at int) {
	if at < 0 || !wants(req, have[at]) {
		return
	}
	if _, ok := dateField(have[at].Header, "Last-Modified"); !ok {
		return
	}
	n.modified = have[at].Header["Last-Modified"][0]
	if len(n.tags) == 0 {
		n.stored = append(n.stored, at)
	}
}

// wants reports whether s, if it is current, can answer req.
func wants(req Request, s *Stored) bool {
	a := Evaluate(Request{Method: req.Method, Header: onlyRange(req.Header)}, s)
	return a.Held && a.Kind != Elsewhere || req.Method == http.MethodHead
}

func onlyRange(h http.Header) http.Header {
	only := http.Header{}
	for _, f := range []string{"Range", "If-Range"} {
		if has(h, f) {
			only[f] = h[f]
		}
	}
	return only
}

// Completion is the header section that asks for bytes which are missing of s
// (RFC 9111 §3.3): a 206 of the same Version proves that what is there is
// current, and a 200 is the resource as it is now. ok is false if s has no
// strong validator.
func Completion(req Request, s *Stored, missing ranges.Range) (h http.Header, ok bool) {
	v, ok := s.Version()
	if !ok || missing.Empty() {
		return nil, false
	}
	h = req.Header.Clone()
	if h == nil {
		h = http.Header{}
	}
	for _, f := range []string{"If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since"} {
		delete(h, f)
	}
	h["Range"] = []string{formatRange(missing)}
	h["If-Range"] = []string{v.ETag}
	if v.Modified != "" {
		h["If-Range"] = []string{v.Modified}
	}
	return h, true
}

// Freshen says which stored responses the 304 resp updates (RFC 9111 §4.3.4),
// resp being the answer to Revalidation; at comes first if it is one of them, and
// the client can read all of them. If there are none, own says that the 304 is
// about the client's copy and goes to the client; otherwise the request must be
// repeated without validators of ours.
//
// Servers leave out the tag that they matched. If just one stored response was
// asked about, and nothing of the client's, it is that one.
func Freshen(req Request, have []*Stored, at int, resp Response) (update []int, own bool) {
	n := nominate(req, have, at)
	if n.empty() {
		return nil, true
	}
	t, tagged := etagOf(resp.Header)
	switch {
	case req.Key.Signed:
		update = pick(have, at, func(s *Stored) bool { return Confirms(resp, s) && s.Readable(req.Header) })
	case tagged && t.valid && !t.weak:
		// Servers give one tag to several codings, although it is strong.
		update = pick(have, at, func(s *Stored) bool { return strongETag(s.Header) == t.text && s.Readable(req.Header) })
	default:
		update = n.weakly(req, have, resp.Header)
	}
	clients, _ := parseETags(req.Header["If-None-Match"])
	return update, len(update) == 0 && tagged && matches(clients, t, etag.weakly)
}

// weakly is the second and third case of RFC 9111 §4.3.4: at most one, and only
// of what the request selects, since a weak tag may be that of several variants.
func (n nominees) weakly(req Request, have []*Stored, h http.Header) []int {
	t, tagged := etagOf(h)
	modified, dated := dateField(h, "Last-Modified")
	best := -1
	for _, i := range n.stored {
		s := have[i]
		st, ok := etagOf(s.Header)
		sm, dok := dateField(s.Header, "Last-Modified")
		same := false
		switch {
		case tagged:
			same = ok && st.weakly(t)
		case dated && dok:
			same = sm.Equal(modified) && n.own == 0
		default:
			same = len(n.stored) == 1 && n.own == 0
		}
		if same && s.Selects(req.Header) && (best < 0 || newer(s, have[best])) {
			best = i
		}
	}
	if best < 0 {
		return nil
	}
	return []int{best}
}

func pick(have []*Stored, first int, is func(*Stored) bool) (at []int) {
	for i, s := range have {
		switch {
		case !is(s):
		case i == first:
			at = slices.Insert(at, 0, i)
		default:
			at = append(at, i)
		}
	}
	return at
}

// Supersedes reports that resp, the origin's answer to a GET that selects s, shows
// that s is no longer what the origin has: another version, another place, or
// nothing there. What is about the request or the server only does not count.
func Supersedes(resp Response, s *Stored) bool {
	switch {
	case resp.Status == http.StatusPartialContent:
		got, ok := VersionOf(resp)
		have, also := s.Version()
		return !ok || !also || got != have
	case resp.Status == http.StatusNotFound, resp.Status == http.StatusGone:
		return true
	}
	return resp.Status >= 200 && resp.Status < 400 && resp.Status != http.StatusNotModified
}
