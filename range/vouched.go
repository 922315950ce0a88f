package ranges

import "context"

type vouchedKey struct{}

// WithVouched returns a context for a request whose answer the caller takes for what
// it is only once the whole body matches a digest that the origin vouches for.
// Target.Vouched tells Sources, which may then let others carry what those could
// alter, plain http. Reader.Altered says whether they might have.
func WithVouched(ctx context.Context) context.Context {
	return context.WithValue(ctx, vouchedKey{}, true)
}

func isVouched(ctx context.Context) bool { return ctx.Value(vouchedKey{}) != nil }

// Altered reports whether others than the origin and the network between could have
// altered bytes of the download so far: a peer carried some of them by plain http.
func (r *Reader) Altered() bool {
	d := r.d
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.target.URL.Scheme == "https" {
		return false
	}
	for i, o := range d.sources {
		if o.Kind() == KindPeer && d.plan.Stats(schedID(i), d.now()).Fresh > 0 {
			return true
		}
	}
	return false
}
