package journal

import (
	"bytes"
	"fmt"
)

// verdict is what the two copies say together.
type verdict struct {
	state      state
	generation uint64  // newest one that is whole
	next       uint64  // generation of the checkpoint that recovery writes
	newest     []byte  // the record of generation
	anchor     []byte  // that checkpoint, if an interrupted recovery has written it
	rebuild    [2]bool // the copy cannot be used as it is
	warnings   []string
}

// decide finds the newest state in the union of the valid records of both
// copies, and refuses to do so where that union may lack a Save that returned
// nil. It changes nothing. The argument is in doc.go.
func decide(scans [2]*scan) (*verdict, error) {
	u, err := unite(scans)
	if err != nil {
		return nil, err
	}
	v := &verdict{generation: u.newest, next: u.newest + 1}
	if v.state, err = u.replay(scans); err != nil {
		return nil, err
	}
	v.newest = u.records[u.newest].raw
	if scans[0].pending || scans[1].pending {
		return v, v.resume(u, scans)
	}
	if err := u.traces(scans); err != nil {
		return nil, err
	}
	v.judge(u, scans)
	return v, nil
}

// resume goes on with a recovery that was interrupted after it had decided: the
// replacement it built holds the decision, and nothing was saved since.
func (v *verdict) resume(u *union, scans [2]*scan) error {
	for i, s := range scans {
		v.warnings = append(v.warnings, s.warnings...)
		if !s.pending {
			v.rebuild[i] = s.unhealthy() != ""
			continue
		}
		v.warnings = append(v.warnings, fmt.Sprintf("%s: an interrupted repair was finished", s.dir))
		if s.newest != u.newest || u.records[s.newest].kind != kindCheckpoint {
			return &CorruptionError{
				Path: s.dir, Generation: u.newest,
				Reason: fmt.Sprintf("it replaces a copy as of generation %d, but generation %d exists: files of different times were mixed", s.newest, u.newest),
			}
		}
	}
	v.next, v.anchor = u.newest, v.newest
	return nil
}

// union holds the valid records of both copies by generation.
type union struct {
	records    map[uint64]*record
	checkpoint uint64 // newest one
	newest     uint64
}

func unite(scans [2]*scan) (*union, error) {
	u := &union{records: map[uint64]*record{}}
	for _, s := range scans {
		for _, list := range [][]record{s.records, s.spare} {
			for i := range list {
				r := &list[i]
				if other, ok := u.records[r.generation]; ok && !bytes.Equal(other.raw, r.raw) {
					return nil, &CorruptionError{
						Path: s.dir, Generation: r.generation,
						Reason: fmt.Sprintf("two different records of generation %d exist: files of different journals were mixed", r.generation),
					}
				}
				u.records[r.generation] = r
				u.newest = max(u.newest, r.generation)
				if r.kind == kindCheckpoint {
					u.checkpoint = max(u.checkpoint, r.generation)
				}
			}
		}
	}
	return u, nil
}

// replay folds the records from the newest checkpoint on.
func (u *union) replay(scans [2]*scan) (state, error) {
	st := newState()
	if u.checkpoint == 0 {
		return st, firstDamage(scans, 1, "no checkpoint is left in either copy")
	}
	for g := u.checkpoint; g <= u.newest; g++ {
		r, ok := u.records[g]
		if !ok {
			return st, firstDamage(scans, g, fmt.Sprintf("the record of generation %d is whole in neither copy", g))
		}
		st.apply(r.entries)
	}
	return st, nil
}

// firstDamage returns a *CorruptionError that points to the place where the
// record of generation g should be.
func firstDamage(scans [2]*scan, g uint64, reason string) error {
	e := &CorruptionError{Path: scans[0].dir, Generation: g, Reason: reason}
	for _, s := range scans {
		for i := range s.damages {
			d := &s.damages[i]
			e.Path, e.Offset = d.path, d.offset
			e.Reason = fmt.Sprintf("%s (%s)", reason, d.reason)
			if d.after < g {
				return e
			}
		}
	}
	return e
}

// traces refuses to go on where bytes in a copy may be what is left of a Save
// newer than the newest whole record, unless it cannot have returned.
func (u *union) traces(scans [2]*scan) error {
	a, b := scans[0], scans[1]
	ta, tb := u.beyond(a, b), u.beyond(b, a)
	if ta == nil && tb == nil {
		return nil
	}
	switch {
	case tb != nil:
		// b is written only after a was synced, so a had it and lost it.
		return &CorruptionError{
			Path: tb.path, Offset: tb.offset, Generation: u.newest + 1,
			Reason: tb.reason + "; what was written there first, in the other copy, is gone",
		}
	case !ta.torn:
		return &CorruptionError{
			Path: ta.path, Offset: ta.offset, Generation: u.newest + 1,
			Reason: ta.reason + "; it was written as a whole, and the other copy does not have it",
		}
	case b.missing || b.newest != u.newest:
		// a is written only after the save before it was synced in b.
		return &CorruptionError{
			Path: b.dir, Generation: u.newest + 1,
			Reason: fmt.Sprintf("the copy ends at generation %d, but the other one was being written after %d", b.newest, u.newest),
		}
	}
	return nil
}

// beyond returns the damage at the end of s if it is longer than the records
// that are known to belong there: those after the last one before it or, if
// nothing is whole before it, all that the other copy has.
func (u *union) beyond(s, other *scan) *damage {
	d := s.tail()
	if d == nil {
		return nil
	}
	from := d.after + 1
	if d.after == 0 && len(other.records) > 0 {
		from = other.records[0].generation
	}
	known := int64(0)
	for g := from; g <= u.newest; g++ {
		r, ok := u.records[g]
		if !ok {
			return d
		}
		known += int64(framedSize(len(r.raw)))
	}
	if d.length <= known {
		return nil
	}
	return d
}

// judge says which copies can be used as they are, and what is worth a warning.
func (v *verdict) judge(u *union, scans [2]*scan) {
	for i, s := range scans {
		v.warnings = append(v.warnings, s.warnings...)
		reason := s.unhealthy()
		if reason == "" {
			reason = lost(u, i, s)
		}
		v.rebuild[i] = reason != ""
		switch {
		case reason != "":
			v.warnings = append(v.warnings, fmt.Sprintf("%s is damaged and was rebuilt from the other copy: %s", s.dir, reason))
		case s.tail() != nil:
			d := s.tail()
			v.warnings = append(v.warnings, fmt.Sprintf("%s: cut at byte %d: %s, a save that had not returned", d.path, d.offset, d.reason))
		}
	}
}

// lost says what a copy that is valid in itself lacks. The first copy is written
// first, so it lacks nothing; the second may lack the newest record.
func lost(u *union, i int, s *scan) string {
	lag := 0
	for g := range u.records {
		if g > s.newest {
			lag++
		}
	}
	if lag > i {
		return fmt.Sprintf("%s ends at generation %d, the other copy at %d", s.dir, s.newest, u.newest)
	}
	return ""
}
