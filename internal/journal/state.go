package journal

import (
	"bytes"
	"slices"
)

// state is the newest value of every live key. Values are never changed once
// they are in, so they may be handed out.
type state struct {
	values map[Key][]byte
	size   int // bytes of a record that holds all of it
}

func newState() state { return state{values: map[Key][]byte{}} }

// sizeWith returns the size of the state after entries were applied.
func (s *state) sizeWith(entries []Entry) int {
	size := s.size
	var seen map[Key]int // size of keys that come twice in entries
	if len(entries) > 1 {
		seen = make(map[Key]int, len(entries))
	}
	for i := range entries {
		e := &entries[i]
		old, ok := seen[e.Key]
		if v, live := s.values[e.Key]; !ok && live {
			old = len(v) + entryOverhead
		}
		now := 0
		if e.Value != nil {
			now = len(e.Value) + entryOverhead
		}
		size += now - old
		if seen != nil {
			seen[e.Key] = now
		}
	}
	return size
}

// apply folds entries into the state and copies their values.
func (s *state) apply(entries []Entry) {
	for i := range entries {
		e := &entries[i]
		if old, ok := s.values[e.Key]; ok {
			s.size -= len(old) + entryOverhead
		}
		if e.Value == nil {
			delete(s.values, e.Key)
			continue
		}
		s.values[e.Key] = append(make([]byte, 0, len(e.Value)), e.Value...)
		s.size += len(e.Value) + entryOverhead
	}
}

// entries returns the live entries in the order of their keys.
func (s *state) entries() []Entry {
	out := make([]Entry, 0, len(s.values))
	for k, v := range s.values {
		out = append(out, Entry{Key: k, Value: v})
	}
	slices.SortFunc(out, func(a, b Entry) int {
		if c := bytes.Compare(a.Key.Group[:], b.Key.Group[:]); c != 0 {
			return c
		}
		return int(a.Key.Kind) - int(b.Key.Kind)
	})
	return out
}

func (s *state) clone() state {
	c := state{values: make(map[Key][]byte, len(s.values)), size: s.size}
	for k, v := range s.values {
		c.values[k] = v
	}
	return c
}
