package ranges_test

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"

	"dtpx/internal/testbed"
	ranges "dtpx/range"
)

// TestOneLineForOneAnswer: what a cache fetches to complete an answer, before that or
// later, is in the line of the answer, while it runs and when it has ended.
func TestOneLineForOneAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, half, most = 4 << 20, 2 << 20, 3 << 20
		m := newMem(t, slow, near, nil)
		url := testbed.URL(m.origin.HTTP, "4MiB/f")
		req := m.request(url)
		req = req.WithContext(ranges.WithParts(req.Context()))
		part := func(from, to int) io.ReadCloser {
			r := req.Clone(req.Context())
			r.Header.Set("Range", "bytes="+strconv.Itoa(from)+"-"+strconv.Itoa(to-1))
			return m.do(m.client, r).Body
		}
		held := make([]byte, half)
		if _, err := m.origin.Content(url).ReadAt(held, 0); err != nil {
			t.Fatal(err)
		}
		first := part(half, most)
		body := io.MultiReader(bytes.NewReader(held), first, &later{open: func() io.ReadCloser { return part(most, size) }})
		resp := m.engine.Cached(req, &http.Response{
			StatusCode: 200, Header: http.Header{}, ContentLength: size, Body: closing{body, first}, Request: req,
		}, "partial")
		check := func(state string) ranges.Info {
			t.Helper()
			all := m.engine.Downloads()
			if len(all) != 1 || all[0].State != state || all[0].ID != resp.Header.Get(ranges.DownloadField) || all[0].Cache != "partial" {
				t.Fatalf("%+v", all)
			}
			return all[0]
		}
		check("running")
		m.some(resp, most+half/4)
		check("running")
		m.part2(url, resp, most+half/4)
		d := check("done")
		if s := d.Sources; len(s) != 2 || s[0].Kind != ranges.KindCache || s[0].Bytes != half || s[1].Bytes != half || d.Sent != size || s[0].Rate > 0.51*d.Rate {
			t.Errorf("%+v", d)
		}
	})
}

type closing struct {
	io.Reader
	io.Closer
}

// later is a body that is opened when it is read.
type later struct {
	open func() io.ReadCloser
	body io.ReadCloser
}

func (l *later) Read(p []byte) (int, error) {
	if l.body == nil {
		l.body = l.open()
	}
	n, err := l.body.Read(p)
	if err != nil {
		l.body.Close()
	}
	return n, err
}
