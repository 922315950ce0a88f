package disk

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// tick is how often the store looks after itself.
	tick = 5 * time.Second
	// retryAfter is how long it stays off after trouble; twice as long each time
	// that the trouble comes back soon, up to retryMax.
	retryAfter = time.Minute
	retryMax   = 16 * time.Minute
	// settleAfter bounds what the index log lags behind, and how often an entry
	// is written to it.
	settleAfter = time.Minute
	// staleAfter: of a block of which nothing comes for so long, the rest goes
	// another way.
	staleAfter = 30 * time.Second
)

// Store is a directory of entries, safe for concurrent use. In trouble it holds
// nothing and takes nothing: see Off.
type Store struct {
	// write-once
	dir     string
	opts    Options
	log     *slog.Logger
	buffers *buffers
	zip     *zip
	plain   *plain
	count   *counters
	stop    chan struct{} // closed by Close
	keeper  sync.WaitGroup

	mu       sync.Mutex // guards what follows
	volume   *volume    // nil while off
	last     *volume    // the one before, whose goroutines may still run
	reason   string
	offSince time.Time
	onSince  time.Time
	pause    time.Duration // from trouble to trying again
	tried    time.Time
	settled  time.Time
	closed   bool
}

type counters struct {
	written, saved, dropped, refused, evicted, damaged, unreadable, adopted, foreign, turned atomic.Int64
}

// Open opens the directory, making it if need be. It fails if another store has
// it open (ErrInUse), and for no other trouble with the disk: then the store is
// off, and tries again.
func Open(dir string, o Options) (*Store, error) {
	if dir == "" {
		return nil, errors.New("open cache: no directory")
	}
	o.setDefaults()
	z, err := newZip()
	if err != nil {
		return nil, err
	}
	s := &Store{
		dir: dir, opts: o, log: o.Log.With("dir", dir), zip: z, plain: &plain{}, count: &counters{},
		buffers: newBuffers(o.BlockSize, o.Memory), stop: make(chan struct{}), settled: o.Now(),
	}
	switch v, err := s.mount(false); {
	case err == nil:
		s.volume = v
		v.run()
	case errors.Is(err, ErrInUse):
		return nil, fmt.Errorf("open cache %s: %w", dir, err)
	default:
		s.turnOff(nil, err)
	}
	s.keeper.Go(s.keep)
	return s, nil
}

// turnOff is called once per volume.
func (s *Store) turnOff(v *volume, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || v != s.volume {
		return
	}
	s.volume, s.last = nil, v
	s.offSince = s.opts.Now()
	s.tried = s.offSince
	if s.offSince.Sub(s.onSince) > 2*s.pause {
		s.pause = retryAfter
	} else {
		s.pause = min(2*s.pause, retryMax)
	}
	s.reason = reasonOf(err)
	s.count.turned.Add(1)
	s.log.Warn("cache is off", "reason", s.reason, "retry", s.pause)
}

func reasonOf(err error) string {
	if isFull(err) {
		return "disk is full: " + err.Error()
	}
	return err.Error()
}

// Off reports whether the store is off, and why.
func (s *Store) Off() (reason string, off bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reason, s.volume == nil
}

// on is the volume, nil while off.
func (s *Store) on() *volume {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.volume
}

// keep looks after the store until Close.
func (s *Store) keep() {
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-t.C:
			s.look(s.opts.Now())
		}
	}
}

func (s *Store) look(now time.Time) {
	s.mu.Lock()
	v := s.volume
	settle := now.Sub(s.settled) >= settleAfter
	if settle {
		s.settled = now
	}
	retry := v == nil && now.Sub(s.tried) >= s.pause
	s.mu.Unlock()
	switch {
	case retry:
		s.retry(now)
	case v == nil:
	case v.writer.slow(now):
		v.fail(fmt.Errorf("disk is slow: a write takes more than %v", slowAfter))
	default:
		if s.buffers.crowded() {
			v.stale(now.Add(-staleAfter))
		}
		if settle {
			v.settle()
		}
		v.queue.kick()
	}
}

// retry mounts the directory again if the disk takes a write.
func (s *Store) retry(now time.Time) {
	s.mu.Lock()
	s.tried = now
	last := s.last
	s.mu.Unlock()
	if last != nil {
		select {
		case <-last.done:
		default:
			return // the disk has not even answered the last call
		}
	}
	v, err := s.mount(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.reason = reasonOf(err)
		return
	}
	s.volume, s.last, s.reason, s.onSince = v, nil, "", now
	v.run()
	s.log.Info("cache is on again", "after", now.Sub(s.offSince))
	s.offSince = time.Time{}
}

// Close writes what is queued and waits for all goroutines. Entries that are
// still acquired hold nothing afterwards, but must be released.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	close(s.stop)
	s.keeper.Wait()
	s.mu.Lock()
	v, last := s.volume, s.last
	s.volume = nil
	if s.reason == "" {
		s.reason = "closed"
	}
	s.mu.Unlock()
	if v != nil {
		close(v.closing)
		<-v.done
	}
	if last != nil {
		<-last.done
	}
	return nil
}
