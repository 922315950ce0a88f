package proxy

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
)

//go:embed dashboard.html
var dashboardHTML string

// dashboard is one page with nothing from elsewhere: its policy names the
// hashes of its own style and script and forbids all else.
func (s *Server) dashboard() http.Handler {
	dashboardHTML := strings.ReplaceAll(dashboardHTML, "\r\n", "\n") // browsers hash what they parsed
	policy := "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'" +
		"; style-src " + hashOf(dashboardHTML, "style") + "; script-src " + hashOf(dashboardHTML, "script")
	page := []byte(strings.Replace(dashboardHTML, "{{fingerprint}}", fingerprint(s.CADER), 1))
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", policy)
		_, _ = w.Write(page)
	})
}

// hashOf is how a policy names the one element of that kind in a page.
func hashOf(page, element string) string {
	_, rest, _ := strings.Cut(page, "<"+element+">")
	content, _, _ := strings.Cut(rest, "</"+element+">")
	sum := sha256.Sum256([]byte(content))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

func fingerprint(der []byte) string {
	if len(der) == 0 {
		return "(there is no CA)"
	}
	return strings.ReplaceAll(fmt.Sprintf("% X", sha256.Sum256(der)), " ", ":")
}
