package proxy

import (
	"bytes"
	"html/template"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// failurePage is the answer to a request that got none.
func (s *Server) failurePage(r *http.Request, err error) *http.Response {
	p := classify(err)
	s.stats.failed.Add(1)
	if r.Context().Err() == nil {
		s.log.Info("request failed", "url", targetOf(r), "reason", p.text)
		s.log.Debug("request failed", "url", targetOf(r), "err", err)
	}
	return s.page(r, p)
}

// refuse answers a request that is not sent on at all.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, p problem) {
	resp := s.page(r, p)
	for k, v := range resp.Header {
		w.Header()[k] = v
	}
	w.WriteHeader(p.status)
	if r.Method != http.MethodHead {
		_, _ = io.Copy(w, resp.Body)
	}
}

var htmlPage = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">
<title>{{.Status}} – dtpx</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:40em;margin:10vh auto;padding:0 1em}code{overflow-wrap:anywhere}</style>
<h1>{{.Status}}</h1>
<p>{{.Reason}}
<p><code>{{.Target}}</code>
<p><small>This page comes from dtpx, the proxy on the way, not from the site.</small>
</html>
`))

// page is a problem as a small page: HTML for those who ask for it, else text.
func (s *Server) page(r *http.Request, p problem) *http.Response {
	target := targetOf(r)
	h := http.Header{
		"Via":                     {Via},
		"Proxy-Status":            {"dtpx; error=" + p.kind}, // RFC 9209
		"Cache-Control":           {"no-store"},
		"X-Content-Type-Options":  {"nosniff"},
		"Content-Security-Policy": {"default-src 'none'; style-src 'unsafe-inline'"},
	}
	var body bytes.Buffer
	status := http.StatusText(p.status)
	if hasToken(r.Header["Accept"], "text/html") {
		h.Set("Content-Type", "text/html; charset=utf-8")
		_ = htmlPage.Execute(&body, struct{ Status, Reason, Target string }{status, p.text, target}) // to memory: cannot fail
	} else {
		h.Set("Content-Type", "text/plain; charset=utf-8")
		body.WriteString("dtpx: " + p.text + "\n" + target + "\n")
	}
	return &http.Response{
		StatusCode: p.status, ProtoMajor: 1, ProtoMinor: 1, Header: h,
		Body: io.NopCloser(&body), ContentLength: int64(body.Len()), Request: r,
	}
}

func targetOf(r *http.Request) string {
	if r.Method == http.MethodConnect || r.URL.Host == "" && r.URL.Path == "" {
		return r.Host
	}
	return redact(r.URL)
}

// redact shows a URL without what may be secret: user information and query.
func redact(u *url.URL) string {
	short := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	out := short.String()
	if u.RawQuery != "" || u.ForceQuery {
		out += "?…"
	}
	return strings.ToValidUTF8(out, "\uFFFD")
}
