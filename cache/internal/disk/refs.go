package disk

// An open entry is closed when nobody has it acquired and the writer is not at
// it, at once if it is removed or was never written, else when too many others
// have been used since.

func (v *volume) acquireLocked(e *Entry) {
	e.refs++
	v.unidleLocked(e)
}

func (v *volume) unidleLocked(e *Entry) {
	if el := v.idleAt[e]; el != nil {
		v.idle.Remove(el)
		delete(v.idleAt, e)
	}
}

// release gives e back.
func (v *volume) release(e *Entry) {
	v.mu.Lock()
	defer v.unlock()
	e.refs--
	v.restLocked(e)
}

// rest is called by the writer when it has done with e.
func (v *volume) rest(e *Entry) {
	v.mu.Lock()
	defer v.unlock()
	v.restLocked(e)
}

// restLocked closes e, or lets it be idle. While the writer is at e it does
// nothing: the writer calls it again.
func (v *volume) restLocked(e *Entry) {
	if e.refs > 0 || e.shut || v.queue.busy(e) {
		return
	}
	if e.dead.Load() || e.unborn() {
		v.shutLocked(e)
		return
	}
	if v.idleAt[e] == nil {
		v.idleAt[e] = v.idle.PushBack(e)
	}
	for el := v.idle.Front(); el != nil && v.idle.Len() > maxIdle; {
		old := el.Value.(*Entry)
		el = el.Next()
		if !v.queue.busy(old) {
			v.shutLocked(old)
		}
	}
}

// unborn reports that nothing was ever written of e.
func (e *Entry) unborn() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.file == nil
}

// shutLocked makes e the past. An entry that was never written leaves the index.
func (v *volume) shutLocked(e *Entry) {
	v.unidleLocked(e)
	e.shut = true
	v.open--
	if e.it.open == e {
		e.it.open = nil
		if e.unborn() && e.err == nil && !e.it.has(itemGone) {
			v.forgetLocked(e.it)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.file != nil {
		v.files = append(v.files, e.file)
		e.file = nil
	}
}

// retireLocked parts it from its open file, which those who use it may read on.
func (v *volume) retireLocked(it *item) {
	if e := it.open; e != nil {
		it.open = nil
		e.die()
		v.restLocked(e)
	}
}

// unlock also closes the files of what was shut: closing may wait for the disk.
func (v *volume) unlock() {
	files := v.files
	v.files = nil
	v.mu.Unlock()
	for _, f := range files {
		f.Close() // nothing depends on what a close reports: see journal.go
	}
}
