package ranges_test

import (
	"testing"
	"testing/synctest"
	"time"
)

// A player asks for the beginning, breaks off, and asks for a place a little
// further on: what had been read ahead is not fetched again.
func TestSeekKeepsWhatThereIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMem(t, slow, near, nil)
		url := m.origin.HTTP + "/32MiB/film.mp4"
		resp := m.get(url, "Range", "bytes=0-")
		m.some(resp, 2<<20)
		time.Sleep(4 * time.Second) // the player has enough for now, the window fills
		resp.Body.Close()
		time.Sleep(time.Second)
		synctest.Wait()
		before := m.origin.Log().Stats("").Total
		time.Sleep(time.Second)
		if again := m.origin.Log().Stats("").Total; again != before {
			t.Errorf("%d bytes came after the player had left", again-before)
		}
		resp = m.get(url, "Range", "bytes=4194304-")
		m.some(resp, 1<<20)
		// About 16 MiB had come; what was on its way on 16 connections is lost.
		if twice := m.origin.Log().Stats("").Duplicate; twice > 2<<20 {
			t.Errorf("%d bytes fetched twice", twice)
		}
		if d := m.last(); d.Readers != 2 {
			t.Errorf("%d readers of one download", d.Readers)
		}
		m.part(url, resp, 5<<20, 27<<20)
	})
}

// Whoever does not come back in time finds nothing left behind.
func TestLingeringEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMem(t, slow, near, nil)
		url := m.origin.HTTP + "/32MiB/film.mp4"
		resp := m.get(url)
		m.some(resp, 2<<20)
		resp.Body.Close()
		if m.engine.Stats().Active != 1 {
			t.Error("a film did not wait for a seek")
		}
		time.Sleep(10 * time.Second)
		if m.engine.Stats().Active != 0 {
			t.Error("a film waits for ever")
		}
	})
}

// The end of a film is fetched before the middle.
func TestTailFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMem(t, slow, near, nil)
		url := m.origin.HTTP + "/256MiB/film.mkv"
		resp := m.get(url)
		m.some(resp, 24<<20)
		tail := false
		for _, e := range m.origin.Log().Entries() {
			tail = tail || len(e.Range) > 10 && e.Range[len(e.Range)-10:] == "-268435455"
		}
		if !tail {
			t.Error("the end has not been asked for")
		}
		resp.Body.Close()
	})
}
