package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestProgramServesWhatItPrints(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ca, access := filepath.Join(t.TempDir(), "ca.pem"), filepath.Join(t.TempDir(), "log")
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, strings.Fields("-listen 127.0.0.1:0 -tls-listen 127.0.0.1:0 -per-conn 64MiB/s -ca "+ca+" -log "+access), w)
		w.Close()
	}()
	var urls []string
	lines := bufio.NewScanner(r)
	for len(urls) < 3 && lines.Scan() {
		urls = append(urls, strings.Fields(lines.Text())[1])
	}
	if len(urls) < 3 || urls[2] != ca {
		t.Fatal(urls)
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	defer tr.CloseIdleConnections()
	for _, u := range urls[:2] {
		resp, err := (&http.Client{Transport: tr}).Get(strings.Replace(u, "64MiB", "1MiB", 1))
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, resp.Body); n != 1<<20 || err != nil {
			t.Error(n, err)
		}
		resp.Body.Close()
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if log, err := os.ReadFile(access); err != nil || strings.Count(string(log), "\n") != 2 {
		t.Errorf("%s %v", log, err)
	}
}
