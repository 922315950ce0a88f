package rules

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
)

// noon is when tests begin.
var noon = time.Date(2026, 10, 14, 12, 0, 0, 0, time.UTC)

// fields makes a header of "Name: value | Name: value". A value @n is the date n
// seconds from noon.
func fields(s string) http.Header {
	h := http.Header{}
	for f := range strings.SplitSeq(s, "|") {
		name, value, ok := strings.Cut(f, ":")
		if !ok {
			continue
		}
		value = strings.TrimPrefix(value, " ")
		if n, err := strconv.Atoi(strings.TrimPrefix(strings.TrimSpace(value), "@")); err == nil && strings.Contains(value, "@") {
			value = formatDate(noon.Add(time.Duration(n) * time.Second))
		}
		h.Add(strings.TrimSpace(name), strings.TrimSuffix(value, " "))
	}
	return h
}

func parse(t testing.TB, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// get is a GET of raw.
func get(t testing.TB, raw, header string) Request {
	t.Helper()
	u := parse(t, raw)
	k, err := KeyOf(u, nil)
	if err != nil {
		t.Fatal(err)
	}
	return Request{Method: http.MethodGet, URL: u, Host: u.Host, Header: fields(header), Key: k}
}

const plain = "https://example.org/file"

// answer is a response that came at noon without delay.
func answer(status int, header string) Response {
	return Response{Status: status, Header: fields(header), Requested: noon, Received: noon}
}

// stored is a complete response to a request with the fields req.
func stored(t testing.TB, status int, header, req string) *Stored {
	t.Helper()
	s := Keep(get(t, plain, req), answer(status, header))
	s.Complete = true
	return &s
}
