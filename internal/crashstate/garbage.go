package crashstate

import (
	"bytes"
	"path"

	"github.com/logq/logq/internal/invariants"
	"github.com/logq/logq/internal/vfs"
)

// sector is what a disk writes as a unit, bytes.
const sector = 512

// walk gives all files, and directories with a slash at the end and no content, in
// the order of their names.
func walk(m *vfs.Mem, dir string, f func(name string, content []byte)) {
	names, err := m.List(dir)
	invariants.Assertf(err == nil, "crashstate: list %s: %v; was the disk crashed?", dir, err)
	for _, base := range names {
		name := path.Join(dir, base)
		info, err := m.Stat(name)
		invariants.Assertf(err == nil, "crashstate: stat %s: %v", name, err)
		if !info.Dir {
			f(name, read(m, name, info.Size))
			continue
		}
		f(name+"/", nil)
		walk(m, name, f)
	}
}

// read reads a file; what is not there is empty.
func read(m *vfs.Mem, name string, size int64) []byte {
	b, err := vfs.ReadFile(m, name, size)
	if err != nil {
		return nil
	}
	return b
}

// spoil puts garbage where a file grew without its data: into the sectors of zeros
// behind the size that it surely has. It says whether there were any.
func (e *each) spoil(m *vfs.Mem, kind string) (spoiled bool) {
	var stale []byte // what was written last, elsewhere, by the name's order
	type grown struct {
		name string
		from int64
		data []byte
	}
	var all []grown
	walk(m, "/", func(name string, content []byte) {
		if bytes.HasSuffix([]byte(name), []byte("/")) {
			return
		}
		if len(bytes.Trim(content, "\x00")) > 0 {
			stale = content
		}
		from := int64(0)
		if info, err := e.none.Stat(name); err == nil {
			from = info.Size
		}
		if from < int64(len(content)) {
			all = append(all, grown{name, (from + sector - 1) / sector * sector, content})
		}
	})
	for _, g := range all {
		f, err := m.OpenReadWrite(g.name)
		invariants.Assertf(err == nil, "crashstate: open %s: %v", g.name, err)
		for at := g.from; at+sector <= int64(len(g.data)); at += sector {
			if len(bytes.Trim(g.data[at:at+sector], "\x00")) > 0 {
				continue
			}
			_, err := f.WriteAt(e.garbage(kind, stale, at), at)
			invariants.Assertf(err == nil, "crashstate: write %s: %v", g.name, err)
			spoiled = true
		}
		err = f.Sync()
		invariants.Assertf(err == nil, "crashstate: sync %s: %v", g.name, err)
	}
	return spoiled
}

// garbage is a sector of it, for a place at the position at in a file.
func (e *each) garbage(kind string, stale []byte, at int64) []byte {
	b := make([]byte, sector)
	if kind == "stale" && len(stale) > 0 {
		// Mostly from the same place, as in a recycled file.
		copy(b, stale[min(at, int64(len(stale))):])
		return b
	}
	for i := range b {
		b[i] = byte(e.rng.Uint32())
	}
	return b
}
