package ranges

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/iotest"
)

// A client that leaves has cancelled its download; nothing has failed.
func TestClientLeavesTheCache(t *testing.T) {
	for err, want := range map[error]string{
		fmt.Errorf("read: %w", context.Canceled): "cancelled ",
		errors.New("disk on fire"):               "failed disk on fire",
		io.EOF:                                   "done ",
	} {
		e := &Engine{MinSize: 1}
		req := httptest.NewRequest(http.MethodGet, "http://origin.test/x", nil)
		resp := e.Cached(req, &http.Response{ContentLength: 10, Header: http.Header{}, Body: io.NopCloser(iotest.ErrReader(err))}, "partial")
		_, _ = io.Copy(io.Discard, resp.Body)
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
		d := e.Downloads()
		if len(d) != 1 || d[0].State+" "+d[0].Error != want {
			t.Errorf("%v: %+v", err, d)
		}
		e.Close()
	}
}
