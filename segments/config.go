package segments

import (
	"fmt"
	"slices"
)

// What the log knows of configurations: those in its entries, the one in force where it
// begins, and of those in a gap at least that they are there. Each frame says which
// entry holds the configuration in force behind it, and each header holds the one in
// force at its base.

// lastConfig returns the last configuration that is known.
func (l *Log) lastConfig() ConfigAt {
	if n := len(l.configs); n > 0 {
		return l.configs[n-1]
	}
	return l.firstConfig
}

// configBefore returns the index of the configuration in force before entry i, known
// or not.
func (l *Log) configBefore(i Index) Index {
	at := l.firstConfig.Index
	for k := len(l.configs) - 1; k >= 0; k-- {
		if l.configs[k].Index < i {
			at = l.configs[k].Index
			break
		}
	}
	for _, g := range l.gaps {
		if g.config < i {
			at = max(at, g.config)
		}
	}
	return at
}

// LostConfig returns the index of the configuration in force at the end of the log if
// it stands in a gap and isn't known otherwise; else 0. Who belongs to the group isn't
// known until the gap is repaired.
func (l *Log) LostConfig() Index {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if at := l.configBefore(l.last + 1); at > l.lastConfig().Index {
		return at
	}
	return 0
}

// inForce holds what a scanned frame says of the configuration against what was seen.
func (op *opening) inForce(s *segment, config Index) error {
	l := op.l
	if config <= l.configBefore(op.at.index+1) {
		return nil
	}
	if g := l.gapAt(config); g != nil {
		g.config = config
		return nil
	}
	return op.damaged(s, s.end, fmt.Errorf("the configuration of entry %d was in force, and the log holds none there", config))
}

// enter holds what the header of s says of the configuration against what was seen. It
// returns whether it is behind: a repair was stopped before it wrote the header again.
func (op *opening) enter(s *segment) (stale bool, err error) {
	l := op.l
	known := l.lastConfig()
	switch {
	case s.config.Index < known.Index:
		s.config = known
		return true, nil
	case s.config.Index == known.Index:
		return false, nil
	case l.gapAt(s.config.Index) == nil:
		return false, op.damaged(s, 0, fmt.Errorf("its header holds the configuration of entry %d, and that is none", s.config.Index))
	}
	l.configs = append(slices.Clip(l.configs), s.config)
	return false, nil
}
