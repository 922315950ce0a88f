package certs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// createFile makes path with data, whole or not at all whatever happens, and
// fails with fs.ErrExist rather than replace a file.
func createFile(path string, data []byte, mode fs.FileMode) error {
	tmp, err := writeTemp(path, data, mode)
	if err != nil {
		return err
	}
	defer os.Remove(tmp)
	if err := place(tmp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// writeTemp writes and syncs a file beside path. CreateTemp makes it 0600, so
// a key is never readable by others, not even for an instant.
func writeTemp(path string, data []byte, mode fs.FileMode) (name string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return "", err
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	if _, err := f.Write(data); err != nil {
		return "", err
	}
	if err := f.Chmod(mode); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return "", err
	}
	return f.Name(), f.Sync()
}

// sweep removes what a crash left of writeTemp: it may hold a key. What is
// young may be another process's at work.
func (s store) sweep() {
	for _, name := range []string{KeyFile, CertFile} {
		left, _ := filepath.Glob(filepath.Join(s.dir, "."+name+".*")) // fails for bad patterns only
		for _, path := range left {
			if info, err := os.Lstat(path); err == nil && s.now.Sub(info.ModTime()) > time.Hour {
				_ = os.Remove(path) // the next start tries again
			}
		}
	}
}

// place links rather than renames: of two processes that start at the same
// instant one wins and the other learns it. File systems without links (FAT,
// some network ones) get a rename.
func place(tmp, path string) error {
	err := os.Link(tmp, path)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	if _, err := os.Lstat(path); err == nil {
		return fs.ErrExist
	}
	return os.Rename(tmp, path)
}

// syncDir makes the new name last. Windows cannot open directories for that,
// and some file systems refuse; the data is synced in any case.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer d.Close()
	_ = d.Sync()
	return nil
}
