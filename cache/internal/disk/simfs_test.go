package disk

import (
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"strings"
)

// mount is Options.FS.
func (m *mortal) mount(string) (FS, error) {
	m.mu.Lock()
	life := m.life
	m.mu.Unlock()
	err := m.enter("mount", "", life, false)
	defer m.mu.Unlock()
	return mortalFS{m, life}, err
}

// mortalFS is the disk in one life: who outlives the machine sees nothing.
type mortalFS struct {
	m    *mortal
	life int
}

func (d mortalFS) move(f func(map[string]*inode)) {
	f(d.m.names)
	d.m.moves = append(d.m.moves, f)
}

func (d mortalFS) Open(name string, flag int) (File, error) {
	create := flag&os.O_CREATE != 0
	err := d.m.enter("open", name, d.life, create)
	defer d.m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	f := d.m.names[name]
	_, dir := d.m.names[path.Dir(name)]
	switch {
	case f != nil && create && flag&os.O_EXCL != 0:
		return nil, fs.ErrExist
	case f == nil && (!create || path.Dir(name) != "." && !dir):
		return nil, fs.ErrNotExist
	case f == nil:
		f = &inode{}
		d.move(func(names map[string]*inode) { names[name] = f })
	case flag&os.O_TRUNC != 0:
		f.change(write{})
	}
	return &mortalFile{d, name, f}, nil
}

func (d mortalFS) Mkdir(name string) error {
	err := d.m.enter("mkdir", name, d.life, true)
	defer d.m.mu.Unlock()
	if err == nil {
		d.move(func(names map[string]*inode) { names[name] = nil })
	}
	return err
}

func (d mortalFS) Names(dir string) (names []string, err error) {
	err = d.m.enter("names", dir, d.life, false)
	defer d.m.mu.Unlock()
	for n := range d.m.names {
		if in, ok := strings.CutPrefix(n, dir+"/"); ok {
			names = append(names, in)
		}
	}
	return names, err
}

func (d mortalFS) Rename(from, to string) error {
	err := d.m.enter("rename", from, d.life, true)
	defer d.m.mu.Unlock()
	if err == nil {
		f := d.m.names[from]
		d.move(func(names map[string]*inode) {
			names[to] = f
			delete(names, from)
		})
	}
	return err
}

func (d mortalFS) Remove(name string) error {
	err := d.m.enter("remove", name, d.life, true)
	defer d.m.mu.Unlock()
	if err == nil && d.m.names[name] == nil {
		err = fs.ErrNotExist
	}
	if err == nil {
		if !d.m.lag {
			d.m.free += int64(len(d.m.names[name].data))
		}
		d.move(func(names map[string]*inode) { delete(names, name) })
	}
	return err
}

func (d mortalFS) SyncDir() error {
	err := d.m.enter("syncdir", "", d.life, true)
	defer d.m.mu.Unlock()
	if err == nil {
		d.m.last, d.m.moves = maps.Clone(d.m.names), nil
	}
	return err
}

func (d mortalFS) Free() (free, size int64, err error) {
	err = d.m.enter("free", "", d.life, false)
	defer d.m.mu.Unlock()
	return d.m.free, 1 << 40, err
}

func (d mortalFS) Lock(name string) (io.Closer, error) {
	err := d.m.enter("lock", name, d.life, false)
	defer d.m.mu.Unlock()
	if err == nil && d.m.lock {
		err = ErrInUse
	}
	d.m.lock = d.m.lock || err == nil
	return unlock{d}, err
}

type unlock struct{ d mortalFS }

func (u unlock) Close() error {
	u.d.m.mu.Lock()
	defer u.d.m.mu.Unlock()
	if u.d.life == u.d.m.life {
		u.d.m.lock = false
	}
	return nil
}

func (d mortalFS) Close() error { return nil }

type mortalFile struct {
	d    mortalFS
	name string
	f    *inode
}

func (f *inode) change(w write) {
	f.data = w.apply(f.data)
	f.writes = append(f.writes, w)
}

func (f *mortalFile) ReadAt(p []byte, off int64) (int, error) {
	err := f.d.m.enter("read", f.name, f.d.life, false)
	defer f.d.m.mu.Unlock()
	if err != nil {
		return 0, err
	}
	if off >= int64(len(f.f.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.f.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *mortalFile) WriteAt(p []byte, off int64) (int, error) {
	err := f.d.m.enter("write", f.name, f.d.life, true)
	defer f.d.m.mu.Unlock()
	n := len(p)
	switch err {
	case nil:
	case errDying, errFull:
		n = f.d.m.rnd.IntN(len(p) + 1) // a part is written
	default:
		n = 0
	}
	if n > 0 {
		f.f.change(write{off, append([]byte(nil), p[:n]...)})
		f.d.m.free -= int64(n)
	}
	return n, err
}

func (f *mortalFile) Truncate(size int64) error {
	err := f.d.m.enter("truncate", f.name, f.d.life, true)
	defer f.d.m.mu.Unlock()
	if err == nil {
		f.f.change(write{off: size})
	}
	return err
}

func (f *mortalFile) Sync() error {
	err := f.d.m.enter("sync", f.name, f.d.life, true)
	defer f.d.m.mu.Unlock()
	if err == nil {
		f.f.last, f.f.writes = append([]byte(nil), f.f.data...), nil
	}
	return err
}

func (f *mortalFile) Size() (int64, error) {
	err := f.d.m.enter("size", f.name, f.d.life, false)
	defer f.d.m.mu.Unlock()
	return int64(len(f.f.data)), err
}

func (f *mortalFile) Close() error { return nil }
