package proxy

import (
	"io"
	"net/http"
	"os"
)

// FileBody is a response body of which pieces may lie in files. Those the kernel
// sends by itself, without a copy, where the client's connection is a bare one.
type FileBody interface {
	io.ReadCloser
	// NextFile returns a file that stands where the body does, and how many bytes
	// of it are the body's next ones; ok is false where they are to be Read.
	NextFile() (f *os.File, n int64, ok bool)
	// Sent says that n of them have been sent.
	Sent(n int64)
}

// sendFiles sends what lies in files at the body's position. It stops where the
// body has to be read, and at an error; both may be after nothing.
func (w *responseWriter) sendFiles(src io.Reader) (total int64, err error) {
	body, ok := src.(*responseBody)
	if !ok || w.ex.in.TLS != nil || w.ex.in.ProtoMajor != 1 || w.ex.in.Method != http.MethodGet {
		return 0, nil
	}
	if _, intercepted := w.ex.in.Context().Value(sessionKey{}).(*session); intercepted {
		return 0, nil
	}
	files, ok := body.ReadCloser.(FileBody)
	to, bare := w.ResponseWriter.(io.ReaderFrom)
	if !ok || !bare {
		return 0, nil
	}
	for {
		f, n, ok := files.NextFile()
		if !ok {
			return total, nil
		}
		sent, err := to.ReadFrom(&io.LimitedReader{R: f, N: n})
		files.Sent(sent)
		body.got += sent
		total += sent
		if err != nil && w.ex.failed == nil {
			w.ex.failed = err
		}
		if err != nil || sent < n { // cut off from outside: Read knows why
			return total, err
		}
	}
}
