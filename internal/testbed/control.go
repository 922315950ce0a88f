package testbed

import (
	"encoding/json"
	"net/http"
)

// Control reads and resets the origin over http. The origin itself serves it too,
// through its limits:
//
//	GET  /_log?url=part    entries as JSON lines
//	GET  /_stats?url=part  {"stats": Stats, "conns": ConnStats}
//	POST /_reset           forget the log, the counters, the URLs' states
//	GET  /_ca.pem          the CA certificate
func (o *Origin) Control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/_log", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/jsonl")
		enc := json.NewEncoder(w)
		for _, e := range o.log.For(r.FormValue("url")) {
			enc.Encode(e)
		}
	})
	mux.HandleFunc("/_stats", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]any{"stats": o.log.Stats(r.FormValue("url")), "conns": o.Conns()})
	})
	mux.HandleFunc("POST /_reset", func(w http.ResponseWriter, r *http.Request) {
		o.Reset()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("/_ca.pem", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-pem-file")
		w.Write(o.CA.PEM)
	})
	return mux
}
