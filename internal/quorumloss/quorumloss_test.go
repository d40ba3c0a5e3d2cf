package quorumloss_test

import (
	"errors"
	"path"
	"strings"
	"testing"

	"github.com/logq/logq/internal/journal"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/internal/quorumloss"
	"github.com/logq/logq/internal/replica"
	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/raft"
	"github.com/logq/logq/record"
	"github.com/logq/logq/segments"
)

const dir = "data/partitions"

var topic = protocol.TopicID{7}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func batch(t *testing.T, values ...string) record.Batch {
	t.Helper()
	b := record.NewBuilder(record.BuilderOptions{Codec: record.None})
	for _, v := range values {
		b.Append(record.Record{Value: []byte(v)})
	}
	sealed, err := b.Seal(nil)
	must(t, err)
	return record.Batch(sealed)
}

// survivor writes what a follower of term 3 has: a no-op, two batches of two
// records, of which the first is known to be committed.
func survivor(t *testing.T, fsys vfs.FS, j journal.Journal, name string) {
	t.Helper()
	log, _, err := segments.Open(segments.Options{FS: fsys, Dir: path.Join(dir, name), Identity: segments.Identity{Topic: topic, Partition: 2}})
	must(t, err)
	add := func(f segments.Frame, commit segments.Index) {
		f.Index, f.Term, f.PrevTerm, f.BaseOffset = log.Last()+1, 3, log.LastTerm(), log.NextOffset()
		if f.Kind == segments.KindData {
			b := record.Batch(f.Payload)
			b.Assign(f.BaseOffset, 3)
			f.Records, f.MaxTimestamp = uint32(b.Count()), b.MaxTimestamp()
		}
		must(t, log.Append(f, segments.Local{WriteTerm: 3, Commit: commit}))
		must(t, log.Flush())
	}
	add(segments.Frame{Kind: segments.KindNoOp}, 0)
	add(segments.Frame{Kind: segments.KindData, Payload: batch(t, "a", "b")}, 0)
	add(segments.Frame{Kind: segments.KindData, Payload: batch(t, "c", "d")}, 2)
	must(t, log.Close())
	must(t, j.Save([]journal.Entry{{
		Key:   journal.Key{Group: protocol.GroupID(topic, 2), Kind: replica.HardStateKind},
		Value: replica.EncodeHardState(11, raft.HardState{Term: 5, Vote: 12}),
	}}))
}

func TestSurvey(t *testing.T) {
	fsys, j := vfs.NewMem(), journal.NewMem()
	must(t, vfs.MkdirAllSync(fsys, dir+"/empty"))
	survivor(t, fsys, j, "t-2")
	all, err := quorumloss.Survey(fsys, dir, j)
	must(t, err)
	if len(all) != 1 {
		t.Fatalf("%d replicas: %+v", len(all), all)
	}
	r := all[0]
	if r.Name != "t-2" || r.Topic != topic || r.Partition != 2 || r.ID != 11 || r.Hard != (raft.HardState{Term: 5, Vote: 12}) ||
		r.First != 1 || r.Last != (raft.EntryID{Term: 3, Index: 3}) || r.Commit != 2 || r.Start != 0 || r.Committed != 2 || r.Next != 4 ||
		r.HasConfig || r.Damage != nil {
		t.Errorf("%+v", r)
	}
	if all, err := quorumloss.Survey(fsys, "nowhere", j); err != nil || len(all) != 0 {
		t.Errorf("nowhere: %v, %v", all, err)
	}
}

// The sole voter elects itself, has everything, and takes more.
func TestAccept(t *testing.T) {
	fsys, j := vfs.NewMem(), journal.NewMem()
	survivor(t, fsys, j, "t-2")
	all, err := quorumloss.Survey(fsys, dir, j)
	must(t, err)
	must(t, quorumloss.Accept(fsys, dir, j, all[0]))
	all, err = quorumloss.Survey(fsys, dir, j)
	must(t, err)
	r := all[0]
	if !r.HasConfig || r.Config.String() != "voters(11)" || r.Last != (raft.EntryID{Term: 6, Index: 4}) || r.Hard != (raft.HardState{Term: 6, Vote: 11}) || r.Next != 4 {
		t.Fatalf("%+v", r)
	}
	core := lead(t, r)
	if s := core.Status(); s.Role != raft.RoleLeader || !s.Serving || s.Commit != 5 {
		t.Errorf("%+v", s)
	}
	// Once more changes nothing but the term.
	must(t, quorumloss.Accept(fsys, dir, j, r))
}

// lead boots a core on what r holds and lets it campaign.
func lead(t *testing.T, r quorumloss.Replica) *raft.Core {
	t.Helper()
	c, err := raft.New(raft.Options{ID: r.ID, Voters: []raft.ReplicaID{11, 12, 13}}, sizes{}, r.Hard, raft.LogState{
		Last: r.Last.Index, Commit: r.Commit,
		Terms:   []raft.TermStart{{Term: 3, First: 1}, {Term: r.Last.Term, First: r.Last.Index}},
		Configs: []raft.ConfigEntry{{Index: r.Last.Index, Config: r.Config}},
	})
	must(t, err)
	c.Campaign()
	for c.Pending() {
		if rd := c.Ready(); rd.N != 0 {
			c.Persisted(rd.N)
		}
	}
	return c
}

type sizes struct{}

func (sizes) Fit(_, hi raft.Index, _ int) (raft.Index, int) { return hi, 1 }

func TestRefusals(t *testing.T) {
	fsys, j := vfs.NewMem(), journal.NewMem()
	survivor(t, fsys, j, "t-2")
	all, err := quorumloss.Survey(fsys, dir, j)
	must(t, err)
	r := all[0]
	r.ID = 0
	if err := quorumloss.Accept(fsys, dir, j, r); !errors.Is(err, quorumloss.ErrUnusable) {
		t.Errorf("without a hard state: %v", err)
	}
	files, err := fsys.List(dir + "/t-2")
	must(t, err)
	for _, f := range files {
		if strings.HasSuffix(f, ".seg") {
			h, err := fsys.OpenReadWrite(path.Join(dir, "t-2", f))
			must(t, err)
			_, err = h.WriteAt([]byte{0xff}, 10)
			must(t, err)
			must(t, h.Close())
		}
	}
	all, err = quorumloss.Survey(fsys, dir, j)
	must(t, err)
	if len(all) != 1 || all[0].Damage == nil {
		t.Fatalf("damaged header: %+v", all)
	}
	if err := quorumloss.Accept(fsys, dir, j, all[0]); !errors.Is(err, quorumloss.ErrUnusable) {
		t.Errorf("damaged: %v", err)
	}
}
