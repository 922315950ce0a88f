package ranges

import (
	"context"
	"io"
	"net/http"
)

// Keeper gets the bytes of a download beside its readers, for a cache. WriteAt
// is called for each byte that comes, once, in any order, from several
// goroutines, one at a time; it is called under the download's lock, so that it
// must not wait for anything. Its errors are nobody's concern. Pace is called before
// more is read, without that lock, and may wait for a moment. Close comes last.
type Keeper interface {
	io.WriterAt
	Pace(context.Context)
	Close()
}

type keeperKey struct{}

// WithKeeper returns a context for a request. If its response becomes a download,
// keep is called with it and the size of the whole resource, before RoundTrip
// returns; what it returns gets the bytes, unless it is nil. If the request joins
// a running download, or is not accelerated, keep is not called.
func WithKeeper(ctx context.Context, keep func(resp *http.Response, total int64) Keeper) context.Context {
	return context.WithValue(ctx, keeperKey{}, keep)
}

// keeperOf asks the keeper of a request's context, if there is one.
func keeperOf(ctx context.Context, resp *http.Response, total int64) Keeper {
	keep, ok := ctx.Value(keeperKey{}).(func(*http.Response, int64) Keeper)
	if !ok {
		return nil
	}
	return keep(resp, total)
}
