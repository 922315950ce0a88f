// Package ranges makes one large GET faster by fetching its body as byte
// ranges from several sources at once while handing it out in order. Its
// Transport is an http.RoundTripper:
//
//	send the client's own request; its response is the probe and slice 0
//	if it has a length, a validator and is large enough:
//	    start a Download: a plan (who fetches what), a store (what has come), a reader (the body)
//	    every 206 that other connections bring must be of the same version, or its source is out
//	    bytes go into the store where they belong and out to the client in order
//	else hand the response on untouched
//
// A failed speculation is invisible: helpers can only add bytes of the very
// same version of the resource, and the client's own connection is not given
// up before others have proven that they bring it.
//
// What is guaranteed: a body returned by Transport yields exactly the bytes of
// one version of the resource, in order, and ends with io.EOF only when all
// have been handed out; otherwise Read returns an error. What is not: that a
// server which sends other bytes under the same strong validator is noticed.
package ranges

import (
	"cmp"
	"context"
	"io"
	"net/http"
	"net/netip"
	"net/url"

	"dtpx/range/internal/span"
)

// Range is the half-open interval [Start, End) of byte positions.
type Range = span.Range

// Set is a set of byte positions.
type Set = span.Set

// Target is what a source is asked to fetch from.
type Target struct {
	URL *url.URL
	// Edge is the address that slice 0 was fetched from; invalid when it is
	// unknown or belongs to a parent proxy. All slices should come from it,
	// because CDN edges may differ in their validators.
	Edge netip.AddrPort
	// Credentials says that the request carries Cookie or Authorization.
	Credentials bool
	// Vouched says that the body will be checked against a digest, see WithVouched.
	Vouched bool
}

// Source is one way to reach an origin's bytes: directly, by another network
// interface, through a peer, from a cache. Implementations are safe for
// concurrent use. Nothing a source returns is trusted: every response is
// checked against the resource's identity before a byte of it is stored.
type Source interface {
	// Kind is direct, interface, peer, cache, peer-cache, mirror or torrent.
	Kind() string
	// Name tells sources of one kind apart.
	Name() string
	// Lane returns a new lane to t. It must not block: a lane connects with
	// its first request.
	Lane(t Target) Lane
}

// Lane carries one request at a time over at most one connection, which it
// keeps open between requests. The engine calls it from one goroutine at a time.
type Lane interface {
	http.RoundTripper
	// Close closes the connection. A response still being read fails.
	Close()
}

// Store holds the bytes of one download that have arrived and not yet been
// read by all. It is called under the download's lock only.
type Store interface {
	// WriteAt stores p at off. It may be called for any range that the
	// download's readers want, once.
	io.WriterAt
	// Peek returns stored bytes from off on: at least one, at most max.
	Peek(off int64, max int) ([]byte, error)
	// Drop says that nobody will read r again. It is aligned to the store's
	// block size except at the end of the resource.
	Drop(r Range)
	// Close releases everything.
	Close()
}

// Client says on whose behalf a request is made.
type Client struct {
	// Name is shown in the list of downloads and separates what is
	// remembered of redirects.
	Name string
	// Account is who the client counts for where several share this machine's
	// line and memory; "" means Name.
	Account string
	// Background says that nobody waits for it: it counts for nobody, and takes
	// one connection where somebody else is served.
	Background bool
}

func (c Client) account() string { return cmp.Or(c.Account, c.Name) }

type clientKey struct{}

// WithClient returns a context whose requests are made for c.
func WithClient(ctx context.Context, c Client) context.Context {
	return context.WithValue(ctx, clientKey{}, c)
}

func clientOf(ctx context.Context) Client {
	c, _ := ctx.Value(clientKey{}).(Client)
	return c
}
