package disk

import (
	"fmt"
	"io"
	"os"
)

// FS is one directory. Names are those that this package makes: "index", "lock",
// or an entry's, "ab/ab…". Errors are the system's, fs.ErrNotExist and
// fs.ErrExist among them.
type FS interface {
	// Open opens a file for reading and writing; flag is 0, or of os.O_CREATE,
	// os.O_EXCL and os.O_TRUNC.
	Open(name string, flag int) (File, error)
	Mkdir(name string) error
	// Names lists a directory, "." is this one.
	Names(dir string) ([]string, error)
	Rename(from, to string) error
	Remove(name string) error
	// SyncDir makes renames last.
	SyncDir() error
	// Free is what this process may still write, and the size of the disk.
	Free() (free, size int64, err error)
	// Lock makes this the only user; ErrInUse says that there is another.
	Lock(name string) (io.Closer, error)
	Close() error
}

// File is an open file.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Truncate(size int64) error
	Sync() error
	Size() (int64, error)
}

// opener is an FS whose files the kernel can send.
type opener interface {
	// OpenFile opens a file for reading, with a position of its own.
	OpenFile(name string) (*os.File, error)
}

// dir is the real FS. An os.Root opens nothing outside, whatever links there are.
type dir struct {
	root *os.Root
	path string
}

func openDir(path string) (FS, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return dir{root, path}, nil
}

func (d dir) Open(name string, flag int) (File, error) {
	f, err := d.root.OpenFile(name, flag|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if flag&os.O_EXCL != 0 {
		makeSparse(f)
	}
	return file{f}, nil
}

func (d dir) OpenFile(name string) (*os.File, error) { return d.root.Open(name) }

func (d dir) Mkdir(name string) error { return d.root.Mkdir(name, 0o700) }

func (d dir) Names(name string) ([]string, error) {
	f, err := d.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

func (d dir) Rename(from, to string) error { return d.root.Rename(from, to) }

func (d dir) Remove(name string) error { return d.root.Remove(name) }

func (d dir) SyncDir() error {
	f, err := d.root.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	_ = f.Sync() // some systems cannot; the rename stands all the same
	return nil
}

func (d dir) Free() (free, size int64, err error) { return freeSpace(d.path) }

func (d dir) Lock(name string) (io.Closer, error) {
	f, err := d.root.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	if err := tryLock(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (d dir) Close() error { return d.root.Close() }

type file struct{ *os.File }

func (f file) Size() (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}
