package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// What is wrong with the parent proxy is not said of the origin.
func TestParentProxyFails(t *testing.T) {
	t.Parallel()
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Proxy-Authenticate", "Basic")
		w.WriteHeader(http.StatusProxyAuthRequired)
	}))
	defer refusing.Close()
	for parent, want := range map[string]string{
		freeAddr(t): "the parent proxy (upstream in the config file) failed: connection refused",
		strings.TrimPrefix(refusing.URL, "http://"): "the parent proxy (upstream in the config file) wants other credentials",
	} {
		b := newBox(t)
		n := b.serve("-config", b.write("proxy.yaml", fmt.Sprintf("upstream: http://ann:s3cret@%s\n", parent)))
		for _, url := range []string{"http://origin.test/x", "https://origin.test/x"} {
			n.wants("502", []string{want}, url)
		}
		if n.log.has("s3cret") {
			t.Error("the log shows the password")
		}
	}
}
