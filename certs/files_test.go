package certs_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"dtpx/certs"
)

func now() time.Time { return start }

func load(dir string) (*certs.Authority, bool, error) { return certs.LoadOrCreate(dir, now, nil) }

func mustLoad(t *testing.T, dir string) *certs.Authority {
	t.Helper()
	a, _, err := load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestFilesAndModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "dtpx")
	a := mustLoad(t, dir)
	if runtime.GOOS != "windows" {
		for name, want := range map[string]os.FileMode{".": 0o700, certs.CertFile: 0o644, certs.KeyFile: 0o600} {
			info, err := os.Stat(filepath.Join(dir, name))
			if err != nil || info.Mode().Perm() != want {
				t.Errorf("%s: mode %v, err %v, want %v", name, info.Mode().Perm(), err, want)
			}
		}
	}
	data, _ := os.ReadFile(filepath.Join(dir, certs.CertFile))
	if !bytes.Equal(data, a.PEM()) {
		t.Error("file and PEM() differ")
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 2 {
		t.Errorf("%d files, want 2", len(entries))
	}
}

func TestSecondStartLoads(t *testing.T) {
	dir := t.TempDir()
	first := mustLoad(t, dir)
	second, created, err := load(dir)
	if err != nil || created || second.Fingerprint() != first.Fingerprint() {
		t.Errorf("created %v, err %v", created, err)
	}
}

// A crash after the key and before the certificate leaves the key alone.
func TestKeyAloneMintsCertificateFromIt(t *testing.T) {
	dir := t.TempDir()
	first := mustLoad(t, dir)
	key, _ := os.ReadFile(filepath.Join(dir, certs.KeyFile))
	os.Remove(filepath.Join(dir, certs.CertFile))
	second, created, err := load(dir)
	if err != nil || !created {
		t.Fatalf("created %v, err %v", created, err)
	}
	if after, _ := os.ReadFile(filepath.Join(dir, certs.KeyFile)); !bytes.Equal(key, after) {
		t.Error("the key changed")
	}
	if second.Certificate().Subject.String() != first.Certificate().Subject.String() {
		t.Error("one key, two names")
	}
}

func TestUnusableFilesSayWhatToDo(t *testing.T) {
	other := t.TempDir()
	mustLoad(t, other)
	foreign, _ := os.ReadFile(filepath.Join(other, certs.CertFile))
	for name, tt := range map[string]struct {
		spoil func(cert, key string)
		now   time.Time
		want  string
	}{
		"half a key":         {spoil: func(_, key string) { truncate(key) }, want: "ca-key.pem cannot be used"},
		"empty key":          {spoil: func(_, key string) { os.WriteFile(key, nil, 0o600) }, want: "ca-key.pem cannot be used"},
		"half a certificate": {spoil: func(cert, _ string) { truncate(cert) }, want: "ca.pem cannot be used"},
		"rubbish":            {spoil: func(cert, _ string) { os.WriteFile(cert, []byte("rubbish"), 0o644) }, want: "ca.pem cannot be used"},
		"other certificate":  {spoil: func(cert, _ string) { os.WriteFile(cert, foreign, 0o644) }, want: "do not belong together"},
		"no key":             {spoil: func(_, key string) { os.Remove(key) }, want: "restore the key"},
		"expired":            {spoil: func(string, string) {}, now: start.AddDate(11, 0, 0), want: "expired on"},
		"clock of 1970":      {spoil: func(string, string) {}, now: time.Unix(0, 0), want: "set the clock"},
		"key is a directory": {spoil: func(_, key string) { os.Remove(key); os.Mkdir(key, 0o700) }, want: "read CA key"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			mustLoad(t, dir)
			cert, key := filepath.Join(dir, certs.CertFile), filepath.Join(dir, certs.KeyFile)
			tt.spoil(cert, key)
			before, _ := os.ReadFile(cert)
			at := tt.now
			if at.IsZero() {
				at = start
			}
			_, created, err := certs.LoadOrCreate(dir, func() time.Time { return at }, nil)
			if err == nil || created || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("created %v, err %v, want %q", created, err, tt.want)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %q", err)
			}
			if after, _ := os.ReadFile(cert); !bytes.Equal(before, after) {
				t.Error("a certificate that may be trusted was overwritten")
			}
		})
	}
}

func truncate(path string) {
	data, _ := os.ReadFile(path)
	os.WriteFile(path, data[:len(data)/2], 0o600)
}

func TestFirstStartWithoutAClock(t *testing.T) {
	_, _, err := certs.LoadOrCreate(t.TempDir(), func() time.Time { return time.Unix(0, 0) }, nil)
	if err == nil || !strings.Contains(err.Error(), "the clock says 1970") {
		t.Errorf("err %v", err)
	}
}

func TestOpenKeyModeIsClosedWithAWarning(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no permission bits on Windows")
	}
	dir := t.TempDir()
	mustLoad(t, dir)
	key := filepath.Join(dir, certs.KeyFile)
	os.Chmod(key, 0o644)
	var log bytes.Buffer
	if _, _, err := certs.LoadOrCreate(dir, now, slog.New(slog.NewTextHandler(&log, nil))); err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(key); info.Mode().Perm() != 0o600 || !strings.Contains(log.String(), "readable by others") {
		t.Errorf("mode %v, log %q", info.Mode(), log.String())
	}
}

func TestConcurrentFirstStartsAgree(t *testing.T) {
	dir := t.TempDir()
	var all sync.WaitGroup
	prints := make([]string, 8)
	errs := make([]error, len(prints))
	for i := range prints {
		all.Go(func() {
			a, _, err := load(dir)
			if errs[i] = err; err == nil {
				prints[i] = a.Fingerprint()
			}
		})
	}
	all.Wait()
	for i := range prints {
		if errs[i] != nil || prints[i] != prints[0] {
			t.Errorf("start %d: %v %s", i, errs[i], prints[i])
		}
	}
}

func TestDirectoryThatCannotBeMade(t *testing.T) {
	blocker := filepath.Join(t.TempDir(), "file")
	os.WriteFile(blocker, nil, 0o600)
	if _, _, err := load(filepath.Join(blocker, "state")); err == nil || !strings.Contains(err.Error(), "make CA directory") {
		t.Errorf("err %v", err)
	}
}

// What a crash can leave besides the two files: temporary ones. They are not
// taken for anything, and go after a while.
func TestLeftoversOfACrash(t *testing.T) {
	dir := t.TempDir()
	old, young := filepath.Join(dir, "."+certs.KeyFile+".123"), filepath.Join(dir, "."+certs.CertFile+".456")
	for path, at := range map[string]time.Time{old: start.Add(-2 * time.Hour), young: start} {
		os.WriteFile(path, []byte("half"), 0o600)
		os.Chtimes(path, at, at)
	}
	mustLoad(t, dir)
	if _, err := os.Stat(old); err == nil {
		t.Error("an old leftover stays")
	}
	if _, err := os.Stat(young); err != nil {
		t.Error("what another process may be writing was taken away")
	}
}
