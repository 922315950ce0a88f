package hostel

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

var proxyURL = &url.URL{Scheme: "http", Host: "127.0.0.1:3128"}

// State is a file of the node's state.
func (r *Room) State(elem ...string) string {
	return filepath.Join(append([]string{r.Home, ".local", "state", "dtpx"}, elem...)...)
}

func (r *Room) trust() (*x509.CertPool, error) {
	pem, err := os.ReadFile(r.State("ca.pem"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("no certificate in ca.pem")
	}
	return pool, nil
}

// read takes a body as fast as it comes and notes the silences.
func (d *Download) read(body io.Reader, began time.Time, each func(n int64)) {
	sum, buf := sha256.New(), make([]byte, 64<<10)
	last := time.Time{}
	for {
		n, err := body.Read(buf)
		now := time.Now()
		if n > 0 {
			if last.IsZero() {
				d.First = now.Sub(began)
			} else {
				d.Longest = max(d.Longest, now.Sub(last))
			}
			last = now
			sum.Write(buf[:n])
			d.Bytes += int64(n)
			if each != nil {
				each(d.Bytes)
			}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				d.Err = err
			}
			if !last.IsZero() {
				d.Longest = max(d.Longest, now.Sub(last))
			}
			d.Total = now.Sub(began)
			d.SHA256 = hex.EncodeToString(sum.Sum(nil))
			return
		}
	}
}
