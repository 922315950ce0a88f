package relay

import (
	"bufio"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"net/http"
	"testing"
	"time"
)

// secure puts TLS under the relay, as the peer port does.
func secure(r *rig) func() *member {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		r.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(nil, c, c, key.Public(), key)
	if err != nil {
		r.Fatal(err)
	}
	conf := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	r.listen("lender:2", func(c net.Conn) { r.errs <- r.ServeConn(r.Context(), tls.Server(c, conf), "anna") })
	return func() *member {
		raw, err := r.net.Dial(r.Context(), "tcp", "lender:2")
		if err != nil {
			r.Fatal(err)
		}
		c := tls.Client(raw, &tls.Config{InsecureSkipVerify: true})
		_, _ = io.WriteString(c, "CONNECT "+origin+" HTTP/1.1\r\nHost: "+origin+"\r\n\r\n")
		m := &member{c, bufio.NewReader(c)}
		if resp, err := http.ReadResponse(m.r, nil); err != nil || resp.StatusCode != 200 {
			r.Fatal(resp, err)
		}
		return m
	}
}

func TestHalfCloseInsideTLS(t *testing.T) {
	play(t, nil, func(c net.Conn) { n, _ := io.Copy(io.Discard, c); give(n)(c) }, func(r *rig) {
		m := secure(r)()
		give(3 << 20)(m)
		m.closeWrite()
		count(r.T, m, 3<<20)
		m.Close()
		if err := <-r.errs; err != nil {
			t.Error(err)
		}
	})
}

func TestQuotaEndsWithAGoodbyeInsideTLS(t *testing.T) {
	play(t, nil, give(1<<30), func(r *rig) {
		r.account.quota = 3 << 20
		m := secure(r)()
		if n, err := io.Copy(io.Discard, m); err != nil || n < 3<<20-bufSize {
			t.Error(n, err)
		}
		m.Close()
	})
}

func TestACutStreamNeverLooksWholeInsideTLS(t *testing.T) {
	play(t, nil, func(c net.Conn) { _, _ = io.CopyN(c, c, 1); abort(c) }, func(r *rig) {
		m := secure(r)()
		_, _ = m.Write([]byte("x"))
		if _, err := io.Copy(io.Discard, m); err == nil {
			t.Error("a reset became an end")
		}
		m.Close()
	})
}

// Handshakes go at the speed of the path; only bulk is gathered.
func TestSmallAnswersAreNotDelayed(t *testing.T) {
	play(t, nil, func(c net.Conn) { _, _ = io.Copy(c, c) }, func(r *rig) {
		m := r.open()
		start := time.Now()
		for range 20 {
			_, _ = m.Write([]byte("ping"))
			if _, err := io.ReadFull(m, make([]byte, 4)); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("%v for 20 round trips of no length", d)
		}
		m.Close()
	})
}
