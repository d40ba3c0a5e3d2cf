package vfs

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/logq/logq/internal/invariants"
)

// What a disk writes as a unit: the page cache writes blocks, a disk sectors.
const (
	blockSize  = 4096
	sectorSize = 512
)

// CrashOptions say what of the unsynced state a power loss leaves behind.
type CrashOptions struct {
	// Keep is the share, 0 to 1, of unsynced changes that reached the disk by
	// themselves. It is drawn for every changed 4 KiB block, every changed file
	// size and every changed directory entry on its own, so writes may survive in
	// any order; a rename survives as a whole.
	Keep float64
	// Torn draws for every 512-byte sector instead, and tears one changed sector
	// of each file in the middle: first the new bytes, then the old.
	Torn bool
	// Rand makes the draws. It may be nil if Keep is 0 or 1 and Torn is false.
	Rand *rand.Rand
}

// Crash cuts the power: it returns a new file system with what survives, all of
// it durable, and no locks held. m and all its files give ErrCrashed from now on.
func (m *Mem) Crash(o CrashOptions) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	survivor := m.survivor(o)
	m.dead = true
	m.root, m.locks = newDir(), nil // let go of the memory; handles keep theirs
	return survivor
}

// Clone returns what Crash would, and leaves m as it is: so one run can be
// judged after a crash at each of its steps.
func (m *Mem) Clone(o CrashOptions) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.survivor(o)
}

func (m *Mem) survivor(o CrashOptions) *Mem {
	c := &crash{o: o, copies: make(map[*memNode]*memNode), to: NewMem()}
	c.to.capacity = m.capacity
	c.to.noDirect.Store(m.noDirect.Load())
	c.to.root = c.dir(m.root)
	return c.to
}

// crash copies a tree as a power loss leaves it.
type crash struct {
	o      CrashOptions
	copies map[*memNode]*memNode
	to     *Mem
	// Renames between directories are drawn once, where they are met first.
	drawn map[*dirChange]bool
}

func (c *crash) keep() bool {
	switch {
	case c.o.Keep <= 0:
		return false
	case c.o.Keep >= 1:
		return true
	}
	invariants.Assertf(c.o.Rand != nil, "CrashOptions with Keep %v need a Rand", c.o.Keep)
	return c.o.Rand.Float64() < c.o.Keep
}

// names returns the directory's names after the crash, without changing n.
func (c *crash) names(n *memNode) map[string]*memNode {
	after := maps.Clone(n.durable)
	for _, ch := range n.pending {
		if ch.done || !c.keepChange(ch) {
			continue
		}
		if ch.fromDir == n {
			delete(after, ch.from)
		}
		if ch.dir != n {
			continue
		}
		if ch.node == nil {
			delete(after, ch.name)
		} else {
			after[ch.name] = ch.node
		}
	}
	return after
}

func (c *crash) keepChange(ch *dirChange) bool {
	if ch.fromDir == nil || ch.fromDir == ch.dir {
		return c.keep()
	}
	kept, ok := c.drawn[ch]
	if !ok {
		kept = c.keep()
		if c.drawn == nil {
			c.drawn = make(map[*dirChange]bool)
		}
		c.drawn[ch] = kept
	}
	return kept
}

func (c *crash) dir(n *memNode) *memNode {
	d := newDir()
	c.copies[n] = d
	after := c.names(n)
	for _, name := range slices.Sorted(maps.Keys(after)) {
		child := after[name]
		twin, seen := c.copies[child]
		if seen && child.isDir() {
			continue // a directory has one name; the other half of a rename was met first
		}
		if !seen {
			if child.isDir() {
				twin = c.dir(child)
			} else {
				twin = c.file(child)
			}
		}
		d.entries[name], d.durable[name] = twin, twin
	}
	return d
}

func (c *crash) file(n *memNode) *memNode {
	base, size := n.synced, n.syncedSize
	if n.cut && c.keep() {
		base, size = n.afterCut(), min(size, n.cutTo)
	}
	if n.size != size && c.keep() {
		size = n.size
	}
	// The bytes are shared until one side writes.
	data, shared := base, true
	n.syncedShared = true
	unit := int64(blockSize)
	if c.o.Torn {
		unit = sectorSize
	}
	var changed []int64
	hi := min(n.dirtyHi, size)
	for off := n.dirtyLo / unit * unit; off < hi; off += unit {
		end := min(off+unit, size)
		if bytes.Equal(section(n.data, off, end), section(base, off, end)) {
			continue
		}
		changed = append(changed, off)
		if c.keep() {
			data = put(data, section(n.data, off, end), off, end, &shared)
		}
	}
	if c.o.Torn && len(changed) > 0 {
		invariants.Assertf(c.o.Rand != nil, "CrashOptions with Torn need a Rand")
		off := changed[c.o.Rand.IntN(len(changed))]
		end := min(off+unit, size)
		cut := off + c.o.Rand.Int64N(end-off+1)
		data = put(data, section(n.data, off, cut), off, cut, &shared)
		data = put(data, section(base, cut, end), cut, end, &shared)
	}
	if int64(len(data)) > size {
		data = data[:size]
	}
	twin := &memNode{content: content{
		data: data, dataShared: true, size: size, links: 1,
		synced: data, syncedShared: true, syncedSize: size,
	}}
	c.copies[n] = twin
	c.to.used += size
	return twin
}

// section returns the bytes of b in [lo, hi); those past its end are zeros, and
// the trailing ones may be left out.
func section(b []byte, lo, hi int64) []byte {
	end := int64(len(b))
	return bytes.TrimRight(b[min(lo, end):min(hi, end)], "\x00")
}

// put writes p and then zeros to b in [lo, hi).
func put(b, p []byte, lo, hi int64, shared *bool) []byte {
	if lo >= hi {
		return b
	}
	b = grow(b, hi, shared)
	clear(b[lo+int64(copy(b[lo:hi], p)) : hi])
	return b
}
