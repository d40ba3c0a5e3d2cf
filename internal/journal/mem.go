package journal

import "sync"

// Mem is a journal in memory with the crash behaviour of the real one: a Save
// that returned nil survives [Mem.Crash], one that failed may or may not. It is
// for simulations and tests. Its methods may be called from any goroutine.
type Mem struct {
	mu      sync.Mutex
	now     state // what Load shows
	durable state // what Crash keeps
	err     error // first failure
	closed  bool
	faults  []Fault
	saves   int
}

// Fault is what happens to one Save of a [Mem].
type Fault struct {
	// Err fails the Save and poisons the journal. Nil lets it return nil.
	Err error
	// Keep says whether the entries survive a crash. With a nil Err, false is a
	// disk that lies about its syncs.
	Keep bool
}

// NewMem returns an empty journal in memory.
func NewMem() *Mem { return &Mem{now: newState(), durable: newState()} }

// Inject queues faults for the next Saves, one each, in order.
func (m *Mem) Inject(faults ...Fault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults = append(m.faults, faults...)
}

// Saves returns how many Saves returned nil.
func (m *Mem) Saves() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.saves
}

// Save implements [Journal].
func (m *Mem) Save(entries []Entry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return &PoisonedError{Err: m.err}
	}
	if m.closed {
		return ErrClosed
	}
	if err := checkSize(&m.now, entries); err != nil {
		return err
	}
	f := Fault{Keep: true}
	if len(m.faults) > 0 {
		f, m.faults = m.faults[0], m.faults[1:]
	}
	if f.Keep {
		m.durable.apply(entries)
	}
	if f.Err != nil {
		m.err = f.Err
		return &PoisonedError{Err: f.Err}
	}
	m.now.apply(entries)
	m.saves++
	return nil
}

// Load implements [Journal].
func (m *Mem) Load(f func(Entry) error) error {
	entries, err := m.live()
	if err != nil {
		return err
	}
	return each(entries, f)
}

func (m *Mem) live() ([]Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return nil, &PoisonedError{Err: m.err}
	}
	if m.closed {
		return nil, ErrClosed
	}
	return m.now.entries(), nil
}

// Close implements [Journal].
func (m *Mem) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	m.closed = true
	if m.err != nil {
		return &PoisonedError{Err: m.err}
	}
	return nil
}

// Crash returns the journal as the next process finds it: what is durable, no
// poison, no faults. The old one is dead: its calls return [ErrClosed].
func (m *Mem) Crash() *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	m.err = nil
	return &Mem{now: m.durable.clone(), durable: m.durable.clone()}
}

func each(entries []Entry, f func(Entry) error) error {
	for _, e := range entries {
		if err := f(e); err != nil {
			return err
		}
	}
	return nil
}
