package sim

import (
	"fmt"
	"path"
	"slices"

	"github.com/logq/logq/internal/journal"
	"github.com/logq/logq/internal/replica"
	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/raft"
	"github.com/logq/logq/segments"
)

// canLose says whether the group goes on without n for good: in each
// configuration that is or may come into force a majority is left.
func (w *world) canLose(n *node) bool {
	if n.gone || n.rotten {
		return false
	}
	for _, c := range w.inForce() {
		if !w.majorityLeft(c.Voters, n) || !w.majorityLeft(c.Outgoing, n) {
			return false
		}
	}
	return true
}

// majorityLeft says whether a majority of the voters is neither lost nor but.
func (w *world) majorityLeft(voters []raft.ReplicaID, but *node) bool {
	left := 0
	for _, id := range voters {
		if n := w.nodes[id-1]; !n.gone && !n.rotten && n != but {
			left++
		}
	}
	return len(voters) == 0 || left > len(voters)/2
}

// wipe takes the disk of n away. Who starts replicas must not let it come back
// under its id: what it promised is forgotten. Another one takes its place.
func (w *world) wipe(n *node) error {
	w.tracef("disk of %d is wiped", n.id)
	w.dead(n)
	n.disk, n.jrnl = newDisk(), journal.NewMem()
	w.lose(n)
	return nil
}

// lose notes that n is gone for good.
func (w *world) lose(n *node) {
	n.gone, n.rotten = true, false
	w.q.add(w.now+w.between(0, 200*millisecond), w.q.make(evMembers, w.indexOf(n)))
}

// replaceLost adds an empty replica for each that is lost; a reconfiguration may
// take it in.
func (w *world) replaceLost() error {
	for _, n := range w.nodes {
		if !n.gone || n.replaced || len(w.nodes) == nodesMax {
			continue
		}
		n.replaced = true
		w.report.Replaced++
		other := w.addNode()
		w.tracef("%d in the place of %d", other.id, n.id)
		if err := w.start(other); err != nil {
			return err
		}
	}
	return nil
}

// rot damages the log of n where it is surely durable: the last group commit is left
// alone, since nobody can tell its damage from a torn write (FAST'18, appendix A).
// Either the power is cut first, and the replica finds it when it starts, or it finds
// it some time later, when it reads its disk.
func (w *world) rot(n *node, f Fault) error {
	if f == Truncation && n.alive() && w.r.IntN(2) == 0 {
		if mark, ok := n.rep.Mark(); ok && n.pausedUntil <= w.now {
			return w.loseTail(n, mark)
		}
	}
	// What a failed sync has left in the page cache proves nothing.
	crash := !n.alive() || n.rep.Log().Err() != nil || w.r.IntN(2) == 0
	if crash {
		if err := w.crashFor(n); err != nil {
			return err
		}
	}
	frames, err := framesOf(n.disk.mem)
	if err != nil {
		return fmt.Errorf("look at the log of replica %d: %w", n.id, err)
	}
	var targets []place
	for _, p := range frames.places {
		if p.index <= frames.evidence && (f == BitFlip || p.file != frames.lastFile) {
			targets = append(targets, p)
		}
	}
	if len(targets) == 0 {
		w.report.Faults[f]--
		return nil
	}
	p := targets[w.r.IntN(len(targets))]
	n.rotten, n.marred = true, true
	if !crash {
		n.hidden = true
		w.q.add(w.now+w.between(0, second), w.q.make(evScrub, w.indexOf(n)))
	}
	w.tracef("%v in entry %d of %d", f, p.index, n.id)
	return damage(n.disk.mem, p, f, w.r.Int64N(p.size), byte(1)<<w.r.IntN(8))
}

// loseTail stops n in order, and cuts anything off its log then.
func (w *world) loseTail(n *node, mark raft.EntryID) error {
	w.tracef("%d stops in order, its log ends with %v", n.id, mark)
	w.dead(n)
	n.jrnl = n.jrnl.Crash()
	if err := n.jrnl.Save([]journal.Entry{{Key: markKey, Value: replica.EncodeMark(n.id, mark)}}); err != nil {
		return err
	}
	w.restart(n)
	frames, err := framesOf(n.disk.mem)
	if err != nil {
		return fmt.Errorf("look at the log of replica %d: %w", n.id, err)
	}
	if len(frames.places) == 0 {
		w.report.Faults[Truncation]--
		return nil
	}
	p := frames.places[len(frames.places)-1-w.r.IntN(min(len(frames.places), 10))]
	if p.file != frames.lastFile {
		p = frames.places[len(frames.places)-1]
	}
	n.rotten, n.marred, n.lost = true, true, slices.Clone(n.mirror)
	w.report.Tails++
	w.tracef("the log of %d is cut in entry %d", n.id, p.index)
	return damage(n.disk.mem, p, Truncation, w.r.Int64N(p.size), 0)
}

// scrub lets n read its whole log.
func (w *world) scrub(n *node) error {
	if !n.hidden || !n.alive() {
		return nil // it will find the damage when it starts
	}
	n.hidden = false
	for i := segments.Index(1); i != 0; {
		next, found, err := n.rep.Log().Verify(i, func(int) error { return nil })
		if err != nil {
			return fmt.Errorf("replica %d can't verify its log: %w", n.id, err)
		}
		if i = next; found == nil {
			continue
		}
		w.report.Found++
		if err := w.step(n, func(out *replica.Output) { n.rep.Damaged(found, out) }); err != nil || n.rep == nil {
			return err
		}
		w.tracef("%d finds damage: %v", n.id, n.rep.Log().Damage())
	}
	n.rotten = n.impaired() // not where what was damaged has gone meanwhile
	return nil
}

// place is a frame on a disk.
type place struct {
	file      string
	pos, size int64
	index     segments.Index
}

type frameMap struct {
	places   []place
	lastFile string
	evidence segments.Index // what some frame proves to have been durable
}

// framesOf finds the frames of a log that is not in use.
func framesOf(mem *vfs.Mem) (m frameMap, err error) {
	names, err := mem.List("log")
	if err != nil {
		return m, nil // there is no log yet
	}
	for _, name := range names {
		if !segments.IsSegment(name) {
			continue
		}
		m.lastFile = path.Join("log", name)
		_, err := segments.Inspect(mem, m.lastFile, func(f segments.FrameInfo) error {
			if f.Fault == "" {
				m.places = append(m.places, place{file: m.lastFile, pos: f.Pos, size: int64(segments.FrameHeaderSize + len(f.Frame.Payload)), index: f.Frame.Index})
				m.evidence = max(m.evidence, f.Local.DurableThrough)
			}
			return nil
		})
		if err != nil {
			return frameMap{}, nil // an unfinished file: leave this log alone
		}
	}
	return m, nil
}

// damage flips a bit at byte at of a frame, or cuts the file there.
func damage(mem *vfs.Mem, p place, f Fault, at int64, bit byte) error {
	file, err := mem.OpenReadWrite(p.file)
	if err != nil {
		return err
	}
	if f == Truncation {
		if err := file.Truncate(p.pos + at); err != nil {
			return err
		}
		return file.Sync()
	}
	var b [1]byte
	if _, err := file.ReadAt(b[:], p.pos+at); err != nil {
		return err
	}
	b[0] ^= bit
	if _, err := file.WriteAt(b[:], p.pos+at); err != nil {
		return err
	}
	return file.Sync()
}
