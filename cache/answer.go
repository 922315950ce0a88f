package cache

import (
	"bytes"
	"io"
	"net/http"

	"dtpx/cache/internal/rules"
	ranges "dtpx/range"
)

// serve answers from o, of which s is what the rules know. beside are fields for
// this client alone. An empty cs.Fwd says that the origin was not asked.
func (v *visit) serve(o *object, s *rules.Stored, a rules.Answer, beside http.Header, cs rules.CacheStatus) *http.Response {
	return v.serveGap(o, s, a, beside, cs, nil)
}

// serveGap is serve where the first bytes that are missing come from gap.
func (v *visit) serveGap(o *object, s *rules.Stored, a rules.Answer, beside http.Header, cs rules.CacheStatus, gap *gap) *http.Response {
	now := v.c.o.Now()
	if a.Kind == rules.Elsewhere {
		a = rules.Answer{Kind: rules.Whole, Range: ranges.Range{End: s.Total}}
	}
	status, h := rules.RespondIn(v.into, s, a, now, cs.FwdStatus != 0)
	for f, vs := range beside {
		h[f] = append(h[f], vs...)
	}
	if cs.Fwd == "" {
		cs.TTL, cs.HasTTL = s.Freshness().Left(now), true
		v.c.stats.hit(v.in.Method, a)
	} else if a.Kind == rules.Whole || a.Kind == rules.Part {
		v.c.stats.kept(v.in.Method, o.heldOf(a.Range))
	}
	cs.Append(h)
	resp := response(v.in, status, h, http.NoBody, 0)
	if a.Kind == rules.Whole || a.Kind == rules.Part {
		resp.ContentLength = a.Range.Len()
	}
	if v.in.Method == http.MethodHead || a.Kind != rules.Whole && a.Kind != rules.Part || a.Range.Empty() {
		if gap != nil {
			gap.close()
		}
		return resp
	}
	if o.small != nil && gap == nil {
		resp.Body = io.NopCloser(bytes.NewReader(o.small.body[a.Range.Start:a.Range.End]))
	} else {
		resp.Body = v.newReader(o, s, a.Range, gap)
	}
	if o.meta.Unproven != nil {
		resp.Body = o.check(resp.Body)
	}
	if v.t.Watch == nil {
		return resp
	}
	how := "hit"
	if gap != nil || !a.Held {
		how = "partial"
	}
	return v.t.Watch(v.in, resp, how)
}
