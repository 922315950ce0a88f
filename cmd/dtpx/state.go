package main

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"dtpx/proxy"
	ranges "dtpx/range"
)

// Files of the state directory, which scripts rely on.
const (
	tokenFile = "token"
	nodeFile  = "node.json"
	hostsFile = "hosts.json"
)

// stateDir is dir, or the system's per-user directory for dtpx.
func stateDir(dir string) (string, error) {
	if dir != "" {
		return filepath.Abs(dir)
	}
	if runtime.GOOS == "linux" {
		if x := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(x) {
			return filepath.Join(x, "dtpx"), nil
		}
		if home, err := os.UserHomeDir(); err == nil {
			return filepath.Join(home, ".local", "state", "dtpx"), nil
		}
	}
	base, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("find a directory for dtpx's state: %w; name one with -state DIR", err)
	}
	return filepath.Join(base, "dtpx"), nil
}

// writeFile replaces a file of the state in one step: after a crash at any
// instant there is the old one or the new one.
func writeFile(path string, data []byte, mode fs.FileMode) (err error) {
	sweep(path)
	f, err := os.CreateTemp(filepath.Dir(path), tempOf(path))
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// tempOf begins the names of files that are to become path.
func tempOf(path string) string { return "." + filepath.Base(path) + "-" }

// sweep removes what crashes left of writeFile. What is young may be another
// process's at work.
func sweep(path string) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return
	}
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && strings.HasPrefix(e.Name(), tempOf(path)) && time.Since(info.ModTime()) > time.Hour {
			_ = os.Remove(filepath.Join(filepath.Dir(path), e.Name())) // the next write tries again
		}
	}
}

// loadToken reads the token that admits other machines to the API, making it
// where there is none.
func loadToken(dir string) (string, error) {
	path := filepath.Join(dir, tokenFile)
	b, err := os.ReadFile(path)
	if t := strings.TrimSpace(string(b)); err == nil && len(t) >= 32 {
		return t, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read token: %w", err)
	}
	raw := make([]byte, 24)
	rand.Read(raw)
	t := hex.EncodeToString(raw)
	if err := writeFile(path, []byte(t+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("write token: %w", err)
	}
	return t, nil
}

// lockState makes this process the only node that uses dir, until the file is
// closed. Two would overwrite what the other has learnt.
func lockState(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w; choose another state directory with -state", err)
	}
	if tryLock(f) == nil {
		return f, nil
	}
	f.Close()
	who := "another dtpx"
	if rec, err := loadNode(dir); err == nil {
		who = fmt.Sprintf("the dtpx on %s (pid %d)", rec.Listen, rec.PID)
	}
	return nil, fmt.Errorf("%s uses %s; stop it, or choose another state directory with -state", who, dir)
}

// nodeRecord is node.json: where the node that uses this state listens.
type nodeRecord struct {
	Version string `json:"version"`
	Listen  string `json:"listen"`
	PID     int    `json:"pid"`
}

func (n nodeRecord) save(dir string) error {
	b, err := json.MarshalIndent(n, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, nodeFile), append(b, '\n'), 0o600)
}

func loadNode(dir string) (n nodeRecord, err error) {
	b, err := os.ReadFile(filepath.Join(dir, nodeFile))
	if err != nil {
		return n, err
	}
	return n, json.Unmarshal(b, &n)
}

// memory is hosts.json: what was learnt about hosts. Names stand in it only
// where a person must see them: hosts that are tunnelled.
type memory struct {
	Hosts     *ranges.Hosts     `json:"hosts"`
	Tunnelled []proxy.Tunnelled `json:"tunnelled"`
}

// loadMemory reads hosts.json. It is only a help: a damaged file is started
// anew, and said so by the error.
func loadMemory(dir string) (memory, error) {
	m := memory{Hosts: ranges.NewHosts()}
	b, err := os.ReadFile(filepath.Join(dir, hostsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err != nil || m.Hosts == nil {
		return memory{Hosts: ranges.NewHosts()}, fmt.Errorf("read %s: %v; starting without", hostsFile, err)
	}
	return m, nil
}

func (m memory) save(dir string) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, hostsFile), b, 0o600)
}
