package proxy

import (
	"encoding/json"
	"net/http"
)

const doPath = "/api/v1/do/"

// guardDo lets in who may change something: POST, with the token. Being on this
// machine does not suffice, for other users may be as well.
func (s *Server) guardDo(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		s.refuse(w, r, problem{http.StatusMethodNotAllowed, "http_request_denied", "only POST is answered here"})
	case !s.hasToken(r):
		w.Header().Set("WWW-Authenticate", `Bearer realm="dtpx"`)
		s.refuse(w, r, problem{http.StatusUnauthorized, "http_request_denied", "this needs the token in dtpx's state directory (Authorization: Bearer)"})
	default:
		s.surface.ServeHTTP(w, r)
	}
}

// serveDo has the Node do what is asked; its answer is JSON.
func (s *Server) serveDo(w http.ResponseWriter, r *http.Request) {
	doer, ok := s.Node.(Doer)
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	result, err := doer.Do(r.Context(), r.PathValue("name"), r.URL.Query())
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		result = map[string]string{"error": err.Error()}
	}
	_ = json.NewEncoder(w).Encode(result)
}
