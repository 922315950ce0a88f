package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	ranges "dtpx/range"
)

// partial describes FILE.part, what has come of FILE: its version, so that -c
// never joins two.
type partial struct {
	URL       string `json:"url"`
	Validator string `json:"validator"`
	Size      int64  `json:"size"`
}

// saving is one download to a file.
type saving struct {
	f    *fetcher
	url  string
	file string // "" until the first response names it
	out  *os.File
	sum  hash.Hash
	at   int64 // bytes on disk
	part partial
	size int64
	id   atomic.Pointer[string] // of the engine's download; read by the progress lines
}

// attempts is how often get tries again when a connection breaks in mid-file.
const attempts = 5

// fetch downloads one URL into its file, which appears only when it is whole.
func (f *fetcher) fetch(ctx context.Context, rawURL string) (err error) {
	s := &saving{f: f, url: rawURL, sum: sha256.New(), size: -1, file: f.o.out}
	defer func() {
		if s.out != nil && s.out != os.Stdout {
			err = errors.Join(err, s.out.Close())
		}
	}()
	if s.file == "" && f.o.resume {
		s.file = nameOf(rawURL, "")
	}
	if err := s.resume(); err != nil {
		return err
	}
	bar := f.c.progress(f, s)
	defer bar.stop()
	for try := 1; ; try++ {
		before := s.at
		err = s.transfer(ctx)
		var final finalError
		if err == nil || ctx.Err() != nil || errors.As(err, &final) || try >= attempts && s.at == before || s.file == "-" && s.at > 0 {
			break
		}
		if s.at > before {
			try = 1
		}
		select {
		case <-time.After(time.Duration(try) * 500 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	if err != nil {
		return err
	}
	bar.stop()
	return s.finish()
}

// finalError is one that trying again does not mend.
type finalError struct{ error }

func (e finalError) Unwrap() error { return e.error }

// resume opens what an earlier get left behind.
func (s *saving) resume() error {
	if !s.f.o.resume {
		return nil
	}
	note, err := os.ReadFile(s.file + ".part.json")
	if err != nil || json.Unmarshal(note, &s.part) != nil || s.part.URL != s.noted() || s.part.Validator == "" {
		s.part = partial{}
		return nil
	}
	out, err := os.OpenFile(s.file+".part", os.O_RDWR, 0)
	if err != nil {
		s.part = partial{}
		return nil
	}
	if s.at, err = io.Copy(s.sum, out); err != nil {
		return fmt.Errorf("read what has come: %w", err)
	}
	s.out = out
	return nil
}

// noted is the URL as the note beside a partial file keeps it: hashed, because
// signed URLs are secrets.
func (s *saving) noted() string {
	sum := sha256.Sum256([]byte(s.url))
	return hex.EncodeToString(sum[:])
}

// transfer makes one request and appends what it brings.
func (s *saving) transfer(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return finalError{err}
	}
	req.Header.Set("User-Agent", "dtpx/"+version)
	if s.at > 0 {
		if s.at == s.part.Size {
			return nil
		}
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", s.at))
		req.Header.Set("If-Range", s.part.Validator)
	}
	resp, err := s.f.client.Do(req)
	var cert *tls.CertificateVerificationError
	if errors.As(err, &cert) {
		return finalError{err}
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := s.accept(resp); err != nil {
		return err
	}
	if id := resp.Header.Get(ranges.DownloadField); id != "" {
		s.id.Store(&id)
	}
	n, err := io.Copy(io.MultiWriter(s.out, s.sum), resp.Body)
	s.at += n
	var disk *os.PathError
	if errors.As(err, &disk) {
		return finalError{fmt.Errorf("write: %w", err)}
	}
	return err
}

// accept checks a response and prepares the file for its body.
func (s *saving) accept(resp *http.Response) error {
	switch resp.StatusCode {
	case http.StatusOK:
		if s.at > 0 && s.file == "-" {
			return finalError{errors.New("the file has changed in the middle")}
		}
		if s.at > 0 {
			fmt.Fprintln(s.f.c.err, "dtpx: the file has changed; starting anew")
		}
		s.size = resp.ContentLength
		return s.create(resp)
	case http.StatusPartialContent:
		cr, err := ranges.ParseContentRange(resp.Header.Get("Content-Range"))
		if err != nil || cr.Start != s.at || s.at == 0 {
			return finalError{errors.New("the server sent another range than asked for")}
		}
		s.size = cr.Total
		return nil
	}
	err := errors.New(resp.Status)
	if strings.HasPrefix(resp.Header.Get("Proxy-Status"), "dtpx;") {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 512)) // what is missing is missed
		reason, _, _ := strings.Cut(string(text), "\n")
		err = fmt.Errorf("%s: %s", resp.Status, strings.TrimPrefix(reason, "dtpx: "))
	}
	if strings.HasSuffix(resp.Header.Get("Proxy-Status"), "tls_certificate_error") {
		return finalError{err}
	}
	if resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests {
		return err
	}
	return finalError{err}
}

// create begins the file from its first byte.
func (s *saving) create(resp *http.Response) (err error) {
	s.at = 0
	s.sum.Reset()
	if s.file == "" {
		s.file = nameOf(resp.Request.URL.String(), resp.Header.Get("Content-Disposition"))
	}
	if s.file == "-" {
		s.out = os.Stdout
		return nil
	}
	if s.out != nil {
		s.out.Close()
	}
	s.part = partial{URL: s.noted(), Validator: validator(resp.Header), Size: resp.ContentLength}
	note, err := json.Marshal(s.part)
	if err != nil {
		return err
	}
	if err := writeFile(s.file+".part.json", note, 0o600); err != nil {
		return finalError{fmt.Errorf("write beside %s: %w", s.file, err)}
	}
	if s.out, err = os.Create(s.file + ".part"); err != nil {
		return finalError{err}
	}
	return nil
}

// validator is what If-Range may carry: a strong tag, or a date.
func validator(h http.Header) string {
	if tag := h.Get("Etag"); strings.HasPrefix(tag, `"`) {
		return tag
	}
	return h.Get("Last-Modified")
}

// finish checks the whole and puts it in place.
func (s *saving) finish() error {
	if s.size >= 0 && s.at != s.size {
		return fmt.Errorf("got %d of %d bytes", s.at, s.size)
	}
	sum := hex.EncodeToString(s.sum.Sum(nil))
	if s.f.o.sha256 != "" && !strings.EqualFold(sum, s.f.o.sha256) {
		if s.file == "-" {
			return fmt.Errorf("sha256 is %s", sum)
		}
		os.Remove(s.file + ".part.json") // nothing to go on from
		return fmt.Errorf("sha256 is %s, not what was asked for; the bytes are left in %s.part", sum, s.file)
	}
	if s.file == "-" {
		return nil
	}
	err := errors.Join(s.out.Sync(), s.out.Close())
	s.out = nil
	if err == nil {
		err = os.Rename(s.file+".part", s.file)
	}
	if err != nil {
		return fmt.Errorf("put %s in place: %w", s.file, err)
	}
	os.Remove(s.file + ".part.json")
	fmt.Fprintf(s.f.c.err, "%s: %s, sha256 %s\n", s.file, bytes(s.at), sum)
	return nil
}

// nameOf is the file name that a response suggests, without any path.
func nameOf(rawURL, disposition string) string {
	if _, p, err := mime.ParseMediaType(disposition); err == nil {
		if n := clean(p["filename"]); n != "" {
			return n
		}
	}
	u, err := url.Parse(rawURL)
	if err == nil {
		if n := clean(path.Base(u.Path)); n != "" {
			return n
		}
	}
	return "download"
}

func clean(name string) string {
	name = filepath.Base(strings.ReplaceAll(name, `\`, "/"))
	if name == "." || name == "/" || name == ".." || strings.HasPrefix(name, ".") || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' }) {
		return ""
	}
	return name
}
