package proxy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// documents are what the API knows, in the order in which events give them.
var documents = []string{"status", "downloads", "peers", "cache", "tunnelled"}

// document is nil for names that there are not.
func (s *Server) document(name string) func() any {
	if name == "tunnelled" {
		return func() any { return s.learnt.list() }
	}
	if s.Node == nil {
		switch name {
		case "status", "cache":
			return func() any { return struct{}{} }
		case "downloads", "peers":
			return func() any { return []struct{}{} }
		}
		return nil
	}
	return map[string]func() any{
		"status": s.Node.Status, "downloads": s.Node.Downloads, "peers": s.Node.Peers, "cache": s.Node.Cache,
	}[name]
}

func (s *Server) serveDocument(w http.ResponseWriter, r *http.Request) {
	read := s.document(r.PathValue("document"))
	if read == nil {
		http.NotFound(w, r)
		return
	}
	data, err := json.MarshalIndent(read(), "", "  ")
	if err != nil {
		s.log.Error("cannot encode answer", "path", r.URL.Path, "err", err)
		http.Error(w, "cannot encode answer", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(data, '\n'))
}

func (s *Server) serveHealth(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if s.isClosing() {
		http.Error(w, "shutting down", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

func (s *Server) serveMetrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	var out bytes.Buffer
	s.stats.write(&out)
	if s.Node != nil {
		s.Node.WriteMetrics(&out)
	}
	_, _ = w.Write(out.Bytes())
}

const (
	eventEvery  = time.Second
	eventsAlive = 15 * time.Second // a comment now and then finds clients that have gone
)

// serveEvents sends each document when it has changed.
func (s *Server) serveEvents(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return
	}
	flush := http.NewResponseController(w)
	tick := time.NewTicker(eventEvery)
	defer tick.Stop()
	sent := map[string][]byte{}
	last := time.Now()
	for {
		wrote, err := s.writeEvents(w, sent)
		if err != nil {
			return
		}
		if !wrote && time.Since(last) >= eventsAlive {
			wrote = true
			fmt.Fprint(w, ":\n\n")
		}
		if wrote {
			last = time.Now()
			if flush.Flush() != nil {
				return
			}
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		case <-s.closing:
			return
		}
	}
}

func (s *Server) writeEvents(w http.ResponseWriter, sent map[string][]byte) (wrote bool, err error) {
	for _, name := range documents {
		data, err := json.Marshal(s.document(name)())
		if err != nil {
			return wrote, err
		}
		if bytes.Equal(data, sent[name]) {
			continue
		}
		sent[name] = data
		if _, err := fmt.Fprintf(w, "event: %s\ndata: %s\n\n", name, data); err != nil {
			return wrote, err
		}
		wrote = true
	}
	return wrote, nil
}
