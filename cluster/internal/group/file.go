package group

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

const (
	fileVersion = 1
	maxFile     = 1 << 20 // some 15,000 blocked nodes
)

// File is group.json: what a node keeps about its membership. The node key and
// the blocked list stay when the group is left.
type File struct {
	Group   Group // zero: in no group
	Key     NodeKey
	Blocked []NodeID

	// Exposed says that others could read the file until Load closed it to
	// them. It is not kept.
	Exposed bool
}

// Blocks reports whether id is on the blocked list.
func (f File) Blocks(id NodeID) bool { return slices.Contains(f.Blocked, id) }

// Format never shows a secret, whatever the verb.
func (f File) Format(s fmt.State, _ rune) {
	fmt.Fprintf(s, "%v, %d nodes blocked", f.Group, len(f.Blocked))
}

// onDisk is the file's form. Members by name and in full: a person may read it.
type onDisk struct {
	Version int      `json:"version"`
	Name    string   `json:"name"`
	Secret  string   `json:"secret"`
	Trusted bool     `json:"trusted"`
	NodeKey string   `json:"node_key"`
	Blocked []NodeID `json:"blocked"`
}

// Load reads a group.json. Where there is none the error is fs.ErrNotExist.
func Load(path string) (File, error) {
	exposed, err := closeToOthers(path)
	if err != nil {
		return File{}, fmt.Errorf("read group file: %w", err)
	}
	f, err := os.Open(path)
	if err != nil {
		return File{}, fmt.Errorf("read group file: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return File{}, fmt.Errorf("read group file: %w", err)
	}
	file, err := parseFile(data)
	if err != nil {
		return File{}, fmt.Errorf("read %s: %w; restore it, or remove it and join again with a code from another member", path, err)
	}
	file.Exposed = exposed
	return file, nil
}

// closeToOthers takes the file's permissions from all but its owner. File
// systems without permissions refuse; that does not stop the node.
func closeToOthers(path string) (exposed bool, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return false, err
	}
	if runtime.GOOS == "windows" || info.Mode().Perm()&0o077 == 0 {
		return false, nil
	}
	_ = os.Chmod(path, 0o600)
	return true, nil
}

func parseFile(data []byte) (File, error) {
	if len(data) > maxFile {
		return File{}, fmt.Errorf("it is larger than %d bytes", maxFile)
	}
	var version struct{ Version int }
	err := json.Unmarshal(data, &version)
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok && syntax.Offset >= int64(len(data)) {
		return File{}, fmt.Errorf("it is cut short after %d bytes", len(data))
	}
	if err != nil {
		return File{}, err
	}
	if version.Version != fileVersion {
		return File{}, fmt.Errorf("it has version %d and this dtpx knows %d", version.Version, fileVersion)
	}
	var d onDisk
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		return File{}, err
	}
	return d.file()
}

func (d onDisk) file() (f File, err error) {
	seed, err := readHex("node_key", d.NodeKey, ed25519.SeedSize)
	if err != nil {
		return File{}, err
	}
	f = File{Key: nodeKeyOf(seed), Blocked: d.Blocked}
	if d.Name == "" && d.Secret == "" && !d.Trusted {
		return f, nil
	}
	secret, err := readHex("secret", d.Secret, secretSize)
	if err != nil {
		return File{}, err
	}
	f.Group = Group{Name: d.Name, Secret: secretOf(secret), Trusted: d.Trusted}
	return f, f.Group.check()
}

// readHex shows nothing of what it reads.
func readHex(field, text string, size int) ([]byte, error) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != size {
		return nil, fmt.Errorf("%s is not %d hexadecimal digits", field, 2*size)
	}
	return b, nil
}

func (f File) encode() ([]byte, error) {
	if f.Key.IsZero() {
		return nil, errors.New("no node key")
	}
	d := onDisk{
		Version: fileVersion,
		NodeKey: hex.EncodeToString(f.Key.seed()),
		Blocked: slices.Concat([]NodeID{}, f.Blocked), // [] rather than null
	}
	slices.SortFunc(d.Blocked, func(a, b NodeID) int { return bytes.Compare(a[:], b[:]) })
	d.Blocked = slices.Compact(d.Blocked)
	if !f.Group.IsZero() {
		if err := f.Group.check(); err != nil {
			return nil, err
		}
		d.Name, d.Secret, d.Trusted = f.Group.Name, hex.EncodeToString(f.Group.Secret.b()), f.Group.Trusted
	}
	data, err := json.MarshalIndent(d, "", "  ")
	return append(data, '\n'), err
}

// Save replaces the file in one step: after a crash at any instant there is
// the old one or the new one.
func (f File) Save(path string) error {
	data, err := f.encode()
	if err == nil && len(data) > maxFile {
		err = errors.New("too many blocked nodes")
	}
	if err == nil {
		sweep(path)
		err = replace(path, data)
	}
	if err != nil {
		return fmt.Errorf("write group file: %w", err)
	}
	return nil
}

// replace writes and syncs a file beside path, which CreateTemp makes 0600
// from the first instant, and gives it path's name.
func replace(path string, data []byte) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(path), tempOf(path))
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(tmp.Name())
		}
	}()
	_, err = tmp.Write(data)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err = os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	if dir, err := os.Open(filepath.Dir(path)); err == nil {
		_ = dir.Sync() // Windows and some file systems refuse; the data is synced
		dir.Close()
	}
	return nil
}

func tempOf(path string) string { return "." + filepath.Base(path) + "-" }

// sweep removes what crashes left of replace: it holds a secret. What is young
// may be another process's at work.
func sweep(path string) {
	entries, _ := os.ReadDir(filepath.Dir(path))
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && info.Mode().IsRegular() && strings.HasPrefix(e.Name(), tempOf(path)) && time.Since(info.ModTime()) > time.Hour {
			_ = os.Remove(filepath.Join(filepath.Dir(path), e.Name())) // the next Save tries again
		}
	}
}
