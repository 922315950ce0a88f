package ledger

import (
	"errors"
	"fmt"
	"io/fs"
)

const (
	damaged = ".damaged"
	part    = ".part"
	// appendsMax lines are appended before the file is replaced by its sums:
	// 4 GiB lent, and at most half a MiB of file.
	appendsMax = 4096
)

// store keeps one file: lines are appended, and in one step the whole is
// replaced. An append that failed may have left half a line, so after it comes
// a replacement and nothing else.
type store struct {
	files Files
	name  string

	open    File // nil: replace before the next append
	appends int
}

// load reads the file. A file that is not a ledger of ours is put aside; what
// came before the damage is returned.
func (s *store) load() (bk *books, damage, err error) {
	b, err := s.files.Read(s.name, fileMax)
	if errors.Is(err, fs.ErrNotExist) {
		return newBooks(), nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	if bk, damage = decode(b); damage == nil {
		return bk, nil, nil
	}
	if err := s.files.Rename(s.name, s.name+damaged); err != nil {
		return nil, nil, fmt.Errorf("keep damaged file aside: %w", err)
	}
	return bk, damage, nil
}

// append writes a line; whole gives the file as it should be with that line.
func (s *store) append(l []byte, whole func() []byte) error {
	if s.open == nil || s.appends >= appendsMax {
		return s.replace(whole())
	}
	s.appends++
	if _, err := s.open.Write(l); err != nil {
		s.drop()
		return fmt.Errorf("write ledger: %w", err)
	}
	return nil
}

// replace leaves the old file or the new one, whenever it is interrupted.
func (s *store) replace(b []byte) error {
	s.drop()
	if err := s.fresh(b); err != nil {
		return fmt.Errorf("replace ledger: %w", err)
	}
	f, err := s.files.Open(s.name, false)
	if err != nil {
		return fmt.Errorf("replace ledger: %w", err)
	}
	s.open, s.appends = f, 0
	return nil
}

func (s *store) fresh(b []byte) error {
	f, err := s.files.Open(s.name+part, true)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync() // the rename must not last longer than the bytes
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := s.files.Rename(s.name+part, s.name); err != nil {
		return err
	}
	return s.files.SyncDir(s.name)
}

func (s *store) drop() {
	if s.open != nil {
		s.open.Close()
		s.open = nil
	}
}

// close syncs, or replaces what an error left behind.
func (s *store) close(whole func() []byte) error {
	defer s.drop()
	if s.open == nil {
		return s.replace(whole())
	}
	if err := s.open.Sync(); err != nil {
		return fmt.Errorf("close ledger: %w", err)
	}
	return nil
}
