package replica

import (
	"github.com/logq/logq/internal/invariants"
	"github.com/logq/logq/raft"
	"github.com/logq/logq/record"
	"github.com/logq/logq/segments"
)

// pump carries out what the core wants until it wants nothing: log changes
// first, since commits and messages refer to them.
func (r *Replica) pump(out *Output) {
	for r.core.Pending() {
		rd := r.core.Ready()
		r.write(&rd, out)
		if rd.Commit > r.commit {
			r.advance(rd.Commit, out)
		}
		r.send(rd.Send, out)
		for i := range rd.Reads {
			r.readDone(&rd.Reads[i], out)
		}
		if rd.Role != nil {
			out.Changed = true
		}
		if len(r.mend.gaps) > 0 && (rd.Truncate != 0 || rd.Install != nil || r.mend.unsettled != 0 && r.mend.unsettled <= r.commit) {
			r.tellDamage()
		}
	}
}

// write stages the Ready's log changes in memory and numbers them for the disk.
func (r *Replica) write(rd *raft.Ready, out *Output) {
	if rd.SaveHard {
		r.hard, r.term = rd.Hard, rd.Hard.Term
		out.Changed = true
	}
	if rd.Install != nil {
		r.install(rd.Install, out)
	}
	if rd.Truncate != 0 {
		invariants.Assertf(rd.Truncate > r.commit, "truncation at %d, commit is %d", rd.Truncate, r.commit)
		r.must(r.log.Truncate(segments.Index(rd.Truncate)))
		r.marks.truncate(rd.Truncate)
		r.own.truncate(rd.Truncate)
	}
	appended := rd.Append.Hi > rd.Append.Lo
	if appended {
		r.append(rd)
	}
	if r.disk.marked && (rd.Truncate != 0 || rd.Install != nil) {
		r.disk.cuts = true
	}
	if rd.N != 0 {
		r.disk.push(rd.N, rd.SaveHard, rd.Truncate != 0 || rd.Install != nil || appended)
	}
}

// append stages the entries of a Ready: the leader's no-op, a configuration, the
// staged proposal, or the part of the received frames that the core wants.
func (r *Replica) append(rd *raft.Ready) {
	e := &rd.Append
	local := segments.Local{
		WriteTerm:      segments.Term(r.term),
		DurableThrough: r.log.Durable(),
		Commit:         segments.Index(r.commit),
	}
	if r.raw != nil {
		raw := r.frames(e.Lo, e.Hi)
		r.must(r.log.AppendRaw(raw, local))
		for rest := raw; len(rest) > 0; {
			h, n := r.parse(rest)
			r.marks.push(raft.Index(h.Index), h.BaseOffset+record.Offset(h.Records))
			rest = rest[n:]
		}
		return
	}
	invariants.Assertf(e.Hi == e.Lo+1, "own entries [%d,%d) come one at a time", e.Lo, e.Hi)
	f := segments.Frame{
		Kind: segments.Kind(e.Kind), Index: segments.Index(e.Lo), Term: segments.Term(e.Term),
		PrevTerm: r.log.LastTerm(), BaseOffset: r.log.NextOffset(),
	}
	switch e.Kind {
	case raft.KindConfig:
		f.Payload = rd.Config.AppendTo(nil)
	case raft.KindData:
		invariants.Assertf(r.staged != nil, "entry %d has no batch", e.Lo)
		f.Records, f.MaxTimestamp, f.Payload = uint32(r.staged.Count()), r.staged.MaxTimestamp(), r.staged
		r.staged = nil
	}
	r.must(r.log.Append(f, local))
	r.marks.push(e.Lo, f.BaseOffset+record.Offset(f.Records))
}

// frames cuts the entries [lo, hi) out of the received frames.
func (r *Replica) frames(lo, hi raft.Index) []byte {
	rest, start := r.raw, 0
	for i := r.rawLo; i < hi; i++ {
		if i == lo {
			start = len(r.raw) - len(rest)
		}
		_, n := r.parse(rest)
		rest = rest[n:]
	}
	return r.raw[start : len(r.raw)-len(rest)]
}

// parse reads a frame that CheckFrames has passed already.
func (r *Replica) parse(raw []byte) (segments.Frame, int) {
	f, n, err := segments.ViewFrame(raw)
	invariants.Assertf(err == nil, "checked frame doesn't parse: %v", err)
	return f, n
}

// must turns a refusal of the log into a violation: the core only asks for
// changes that continue the log, so one that doesn't fit is our own mistake.
func (r *Replica) must(err error) {
	invariants.Assertf(err == nil, "the log refuses what the core ordered: %v", err)
}

// advance moves the commit index and completes what it covers.
func (r *Replica) advance(to raft.Index, out *Output) {
	hw := r.marks.commit(to)
	invariants.Assertf(hw >= r.hw, "high watermark falls from %d to %d", r.hw, hw)
	r.commit, r.hw = to, hw
	r.log.SetCommit(segments.Index(to))
	r.own.commit(to, r.termOf, out)
	out.Changed = true
}

// termOf returns the term of a committed entry.
func (r *Replica) termOf(i raft.Index) raft.Term {
	t, ok := r.log.Term(segments.Index(i))
	invariants.Assertf(ok, "the log doesn't know the term of committed entry %d", i)
	return raft.Term(t)
}

// send attaches the bytes to append messages.
func (r *Replica) send(msgs []raft.Message, out *Output) {
	for i := range msgs {
		s := Send{Message: msgs[i]}
		if m := &s.Message; m.Type == raft.MsgAppend && m.Hi > m.Lo {
			frames, ok := r.log.TailFrames(segments.Index(m.Lo), segments.Index(m.Hi))
			s.Frames, s.Cold = frames, !ok
		} else if m.Type == raft.MsgJump {
			s.Frames = [][]byte{r.jumpStart()}
		}
		out.Sends = append(out.Sends, s)
	}
}

func (r *Replica) readDone(rr *raft.ReadResult, out *Output) {
	token, ok := r.reads[rr.ID]
	if !ok {
		return
	}
	delete(r.reads, rr.ID)
	res := ReadResult{Token: token, HighWatermark: r.hw}
	if rr.Lost {
		st := r.core.Status()
		res.Err = &raft.NotLeaderError{Leader: st.Leader, Term: st.Term}
	} else {
		invariants.Assertf(rr.Index <= r.commit, "read confirmed at %d above commit %d", rr.Index, r.commit)
	}
	out.Reads = append(out.Reads, res)
}
