package ledger

import (
	"io"
	"os"
	"path/filepath"
)

// Files is the part of a file system that a ledger needs, each call one step
// after which the machine may die.
type Files interface {
	// Read returns the first max bytes of a file; an error that is
	// fs.ErrNotExist says there is none.
	Read(name string, max int64) ([]byte, error)
	// Open opens for appending; with fresh it empties the file first.
	Open(name string, fresh bool) (File, error)
	Rename(from, to string) error
	// SyncDir makes renames in the directory of name last.
	SyncDir(name string) error
}

// File is open for appending.
type File interface {
	io.WriteCloser
	Sync() error
}

// Disk is the real one.
type Disk struct{}

// Read implements Files.
func (Disk) Read(name string, max int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, max))
}

// Open implements Files.
func (Disk) Open(name string, fresh bool) (File, error) {
	flag := os.O_WRONLY | os.O_CREATE | os.O_APPEND
	if fresh {
		flag |= os.O_TRUNC
	}
	return os.OpenFile(name, flag, 0o600)
}

// Rename implements Files.
func (Disk) Rename(from, to string) error { return os.Rename(from, to) }

// SyncDir implements Files.
func (Disk) SyncDir(name string) error {
	d, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	defer d.Close()
	_ = d.Sync() // some systems cannot; the rename stands all the same
	return nil
}
