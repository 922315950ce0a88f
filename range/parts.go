package ranges

import (
	"cmp"
	"context"
	"slices"
)

// parts are the downloads by which a cache completes one answer: the list shows them
// in the line of that, not as others.
type parts struct {
	// Guarded by Engine.mu.
	of    []*entry
	whole bool // there is such a line
}

type partsKey struct{}

// WithParts returns a context for a request that a cache may answer in part: what it
// fetches under this context for the rest belongs to the answer that it gives to Cached.
func WithParts(ctx context.Context) context.Context {
	return context.WithValue(ctx, partsKey{}, &parts{})
}

func partsIn(ctx context.Context) *parts {
	p, _ := ctx.Value(partsKey{}).(*parts)
	return p
}

// adoptLocked takes the lines that are of p out of the list.
func (e *Engine) adoptLocked(p *parts) {
	p.whole = true
	e.log = slices.DeleteFunc(e.log, func(en *entry) bool { return slices.Contains(p.of, en) })
}

// partsInfo is what there is to say of each of p, which may be nil.
func (e *Engine) partsInfo(p *parts) (all []Info) {
	if p == nil {
		return nil
	}
	e.mu.Lock()
	entries := make([]entry, len(p.of))
	for i, en := range p.of {
		entries[i] = *en
	}
	e.mu.Unlock()
	for _, en := range entries {
		if en.of != nil {
			en.last = en.of.info()
		}
		all = append(all, en.last)
	}
	return all
}

// complete adds to i, whose bytes were all taken for cached ones, what its parts brought.
func (i *Info) complete(all []Info) {
	held := i.Sent
	for _, p := range all {
		for _, s := range p.Sources {
			held -= s.Bytes
			i.addSource(s)
		}
		i.Duplicate += p.Duplicate
		i.StallMS = max(i.StallMS, p.StallMS)
		i.Note = cmp.Or(p.Note, i.Note)
		i.Reason = p.Reason
	}
	held = max(0, held) // what is on its way was not sent yet
	i.Sources[0].Bytes, i.Sources[0].Rate = held, float64(held)/max(i.Seconds, 0.001)
}

func (i *Info) addSource(s SourceInfo) {
	at := slices.IndexFunc(i.Sources[1:], func(o SourceInfo) bool { return o.Kind == s.Kind && o.Name == s.Name }) + 1
	if at == 0 {
		i.Sources = append(i.Sources, s)
		return
	}
	o := &i.Sources[at]
	o.Bytes, o.Wasted, o.Requests = o.Bytes+s.Bytes, o.Wasted+s.Wasted, o.Requests+s.Requests
	o.Connections, o.Refused = o.Connections+s.Connections, o.Refused+s.Refused
	o.Rate, o.State, o.Error = s.Rate, s.State, s.Error
}
