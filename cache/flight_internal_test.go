package cache

import (
	"context"
	"net/http"
	"testing"
)

// An answer that is there counts, whatever else has happened by the time that anybody
// looks.
func TestAnswerCountsMoreThanTime(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://example.org/", nil)
	if err != nil {
		t.Fatal(err)
	}
	f := &flight{all: &flights{of: map[string]*flight{}}, over: make(chan struct{})}
	if f.wait(&visit{in: req}) {
		t.Error("over before it is")
	}
	f.end()
	for range 100 {
		if !f.wait(&visit{in: req}) {
			t.Fatal("the answer is there and was not taken")
		}
	}
}
