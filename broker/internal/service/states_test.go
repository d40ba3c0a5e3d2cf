package service

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logq/logq/internal/journal"
	"github.com/logq/logq/internal/meta"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/internal/statefile"
	"github.com/logq/logq/internal/vfs"
)

// small limits let a few hundred records do.
var smallStates = States{Records: 100, Bytes: 1 << 20, SegmentBytes: 16 << 10}

// churn commits n records of the metadata about a broker that does not exist.
func (r *real) churn(n int) {
	r.t.Helper()
	for i := range n {
		r.until("registered", func() error {
			id := r.services[r.some()].controller()
			s := r.services[id]
			if s == nil {
				return errors.New("no controller")
			}
			if _, e := s.propose(r.t.Context(), meta.RegisterBroker{Broker: meta.Broker{ID: 99, URL: "nats://b99", Rack: fmt.Sprint(i), FeatureLevel: meta.SupportedLevel}}); e != nil {
				return e
			}
			return nil
		})
	}
}

// some returns a broker that runs and is not cut off.
func (r *real) some() protocol.BrokerID {
	for id := range r.services {
		if !r.cut[[2]protocol.BrokerID{id, id%protocol.BrokerID(r.n) + 1}] {
			return id
		}
	}
	r.t.Fatal("no broker")
	return 0
}

// names returns the topics that a broker knows, once it has caught up.
func (r *real) names(id protocol.BrokerID) string {
	r.t.Helper()
	s := r.services[id]
	r.until("in step", func() error {
		if e := s.syncMeta(r.t.Context()); e != nil {
			return e
		}
		return nil
	})
	var all []string
	for _, t := range s.table.Load().snap.Topics() {
		all = append(all, t.Name)
	}
	return strings.Join(all, " ")
}

func (r *real) metaBytes(id protocol.BrokerID) (n int64) {
	r.t.Helper()
	dir := path.Join("data", r.services[id].meta.spec().Name)
	names, err := r.disks[id].List(dir)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, name := range names {
		i, err := r.disks[id].Stat(path.Join(dir, name))
		if err != nil {
			r.t.Fatal(err)
		}
		n += i.Size
	}
	return n
}

// damage flips a bit in the newest of a broker's state files, or in all.
func (r *real) damage(id protocol.BrokerID, all bool) {
	r.t.Helper()
	names := r.files(id)
	if len(names) == 0 {
		r.t.Fatalf("broker %d has no state file", id)
	}
	if !all {
		names = names[len(names)-1:]
	}
	for _, name := range names {
		f, err := r.disks[id].OpenReadWrite(path.Join("metadata", name))
		if err != nil {
			r.t.Fatal(err)
		}
		var b [1]byte
		if _, err := f.ReadAt(b[:], 200); err != nil {
			r.t.Fatal(err)
		}
		b[0] ^= 4
		if _, err := f.WriteAt(b[:], 200); err != nil {
			r.t.Fatal(err)
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			r.t.Fatal(err)
		}
	}
}

// aged lets topics come and go until a broker has two state files: one that was left behind begins with one.
func (r *real) aged(id protocol.BrokerID) {
	r.t.Helper()
	for range 20 {
		if r.churn(400); len(r.files(id)) > 1 {
			return
		}
	}
	r.t.Fatalf("broker %d has %v", id, r.files(id))
}

func (r *real) files(id protocol.BrokerID) []string {
	r.t.Helper()
	names, err := r.disks[id].List("metadata")
	if err != nil {
		r.t.Fatal(err)
	}
	return names
}

// The metadata's log is bounded however often topics come and go, and restarts need only what is left of it.
func TestMetadataLogIsBounded(t *testing.T) {
	inStatesWorld(t, 1, smallStates, func(t *testing.T, r *real) {
		r.create("kept", 1, 1)
		most := int64(0)
		for i := range 1000 {
			name := fmt.Sprint("t", i)
			r.create(name, 1, 1)
			if e := r.services[1].adminOp(t, protocol.OpTopicDelete, protocol.DeleteTopicRequest{Name: name}, nil); e != nil {
				t.Fatal(e)
			}
			if i%50 == 0 {
				most = max(most, r.metaBytes(1))
			}
		}
		s := r.services[1]
		st := s.Stats()
		if st.MetaNext < 2000 || st.MetaLogStart < st.MetaNext-400 || st.StateFiles < 15 || st.StateFileErrors > 0 {
			t.Errorf("%d records, the log starts at %d, %d state files", st.MetaNext, st.MetaLogStart, st.StateFiles)
		}
		if limit := int64(400 << 10); most > limit {
			t.Errorf("the log had %d bytes, want at most %d", most, limit)
		}
		t.Logf("%d records; the log starts at %d and had %d bytes at most; %d state files", st.MetaNext, st.MetaLogStart, most, st.StateFiles)
		for range 3 {
			r.crash(1)
			r.boot(1)
			r.ready()
			if got := r.names(1); got != "kept" {
				t.Fatalf("after a restart there are %s", got)
			}
			r.create("another", 1, 1)
			if e := r.services[1].adminOp(t, protocol.OpTopicDelete, protocol.DeleteTopicRequest{Name: "another"}, nil); e != nil {
				t.Fatal(e)
			}
		}
	})
}

// A damaged newest file costs nothing: the log reaches back to the one before.
func TestDamagedStateFile(t *testing.T) {
	inStatesWorld(t, 3, smallStates, func(t *testing.T, r *real) {
		r.create("a", 1, 3)
		r.aged(2)
		r.create("b", 1, 3)
		r.crash(2)
		r.damage(2, false)
		r.boot(2)
		r.ready()
		if got := r.names(2); got != "a b" {
			t.Errorf("there are %s", got)
		}
		if st := r.services[2].Stats(); st.StatesFetched > 0 {
			t.Errorf("%d states were fetched", st.StatesFetched)
		}
	})
}

// With no good file left another broker's state takes its place.
func TestNoStateFile(t *testing.T) {
	inStatesWorld(t, 3, smallStates, func(t *testing.T, r *real) {
		r.create("a", 1, 3)
		r.aged(2)
		r.create("b", 1, 3)
		r.crash(2)
		r.damage(2, true)
		r.isolate(2, true)
		r.boot(2)
		pass(5 * time.Second)
		if err := r.services[2].Ready(); err == nil || !strings.Contains(err.Error(), "state file") && !strings.Contains(err.Error(), "hands out its state") {
			t.Errorf("without the others: %v", err)
		}
		r.isolate(2, false)
		r.ready()
		if got := r.names(2); got != "a b" {
			t.Errorf("there are %s", got)
		}
		if st := r.services[2].Stats(); st.StatesFetched != 1 {
			t.Errorf("%d states were fetched", st.StatesFetched)
		}
		r.crash(2) // what was fetched is on disk
		r.boot(2)
		r.ready()
		if st := r.services[2].Stats(); st.StatesFetched != 0 {
			t.Errorf("%d states were fetched again", st.StatesFetched)
		}
	})
}

// A broker alone that has lost its state says so, and does not begin anew.
func TestLostStateOfOne(t *testing.T) {
	inStatesWorld(t, 1, smallStates, func(t *testing.T, r *real) {
		r.create("a", 1, 1)
		r.churn(400)
		r.crash(1)
		r.damage(1, true)
		r.boot(1)
		pass(time.Minute)
		err := r.services[1].Ready()
		if err == nil || !strings.Contains(err.Error(), "restore the state files") || protocol.CodeOf(err) != protocol.StorageError {
			t.Errorf("ready: %v", err)
		}
		if id := r.services[1].ClusterID(); id != "" {
			t.Errorf("it has made itself cluster %s", id)
		}
	})
}

// A follower that the log has left behind jumps, gets the state from another broker, and gives up what it missed the end of.
func TestFollowerBehindTheMetadata(t *testing.T) {
	inStatesWorld(t, 3, smallStates, func(t *testing.T, r *real) {
		r.create("kept", 1, 3)
		r.create("gone", 1, 3)
		gone := r.services[3].table.Load().topics["gone"].parts[0].spec().Name
		r.isolate(3, true)
		alive := r.services[1]
		if e := alive.adminOp(t, protocol.OpTopicDelete, protocol.DeleteTopicRequest{Name: "gone"}, nil); e != nil {
			t.Fatal(e)
		}
		r.churn(600)
		r.create2("new", 2)
		behind := r.services[3].Stats().MetaNext
		if st := alive.Stats(); st.MetaLogStart <= behind {
			t.Fatalf("the log starts at %d, the follower is at %d", st.MetaLogStart, behind)
		}
		r.isolate(3, false)
		r.until("in step", func() error {
			if got := r.names(3); got != "kept new" {
				return errors.New(got)
			}
			return r.services[3].Ready()
		})
		if st := r.services[3].Stats(); st.StatesFetched != 1 {
			t.Errorf("%d states were fetched", st.StatesFetched)
		}
		r.until("rid of what was deleted meanwhile", func() error {
			names, err := r.disks[3].List("data")
			if err == nil && slices.Contains(names, gone) {
				err = errors.New("it is still there")
			}
			return err
		})
	})
}

// create2 creates a topic through broker 1.
func (r *real) create2(name string, replicas int) {
	r.t.Helper()
	e := r.services[1].adminOp(r.t, protocol.OpTopicCreate, protocol.CreateTopicRequest{Name: name, Partitions: 1, Replicas: replicas}, nil)
	if e != nil && e.Outcome != protocol.Done {
		r.t.Fatal(e)
	}
}

// A broker that is new to the group of the metadata begins with a jump and the state.
func TestLearnerOfTheMetadata(t *testing.T) {
	inStatesWorld(t, 3, smallStates, func(t *testing.T, r *real) {
		r.create("a", 1, 3)
		r.churn(400)
		r.n = 4
		r.disks[4], r.journals[4] = vfs.NewMem(), journal.NewMem()
		r.boot(4)
		var leads *Service
		r.until("a learner", func() error {
			id := r.services[1].controller()
			if id == 0 {
				return errors.New("no controller")
			}
			leads = r.services[id]
			st := leads.meta.opened().Status()
			if len(st.Members.Learners) > 0 {
				return nil
			}
			return leads.meta.opened().Change(t.Context(), st.Members.At, st.Members.Voters, []uint64{protocol.ReplicaOf(4, 0)})
		})
		r.until("in step", func() error {
			s := r.services[4]
			if t := s.table.Load().snap.Topic("a"); t == nil {
				return fmt.Errorf("it is at record %d: %v", s.table.Load().snap.Next(), s.fold.err())
			}
			return nil
		})
		if st := r.services[4].Stats(); st.StatesFetched != 1 {
			t.Errorf("%d states were fetched", st.StatesFetched)
		}
	})
}

// What is to be removed is so after a restart too, whose state begins after the record that said so.
func TestRemovalsSurvive(t *testing.T) {
	inWorld(t, 1, nil, func(t *testing.T, w *world) {
		disk := vfs.NewMem()
		restart := func() *Service {
			w.stop(1)
			store, found, err := statefile.Open(disk, "metadata")
			if err != nil {
				t.Fatal(err)
			}
			w.start(1, func(o *Options) { o.States = States{Store: store, Found: found} })
			w.with(protocol.MetaTopic, 0, func(l *fakeLog) { l.elect(1) })
			w.ready()
			return w.services[1]
		}
		s := restart()
		w.create("t", 1, 1)
		w.rmErr = errors.New("the disk hangs")
		name := "1 " + s.table.Load().topics["t"].parts[0].spec().Name
		if e := s.adminOp(t, protocol.OpTopicDelete, protocol.DeleteTopicRequest{Name: "t"}, nil); e != nil {
			t.Fatal(e)
		}
		files := s.Stats().StateFiles
		s.fold.want()
		w.until("written down", func() error {
			if s.Stats().StateFiles == files {
				return errors.New("not yet")
			}
			return nil
		})
		w.mu.Lock()
		w.rmErr, w.removes[name] = nil, 0
		w.mu.Unlock()
		s = restart()
		pass(time.Minute)
		w.mu.Lock()
		n := w.removes[name]
		w.mu.Unlock()
		if n != 1 {
			t.Errorf("%d removals after the restart", n)
		}
		if len(s.fold.removals.open) > 0 {
			t.Errorf("still to be removed: %v", s.fold.removals.open)
		}
	})
}

// A state file that cannot be written holds nothing up but the log's trimming, and is tried again.
func TestStateFileErrors(t *testing.T) {
	inStatesWorld(t, 1, smallStates, func(t *testing.T, r *real) {
		faults, err := vfs.ParseFaults("sync state-* #3..6 EIO")
		if err != nil {
			t.Fatal(err)
		}
		r.crash(1)
		r.faults = faults
		r.boot(1)
		r.ready()
		r.churn(250)
		start := r.services[1].Stats().MetaLogStart
		r.churn(100)
		if st := r.services[1].Stats(); st.StateFileErrors == 0 || st.MetaLogStart != start {
			t.Errorf("%d errors, the log starts at %d after %d", st.StateFileErrors, st.MetaLogStart, start)
		}
		pass(time.Minute)
		r.churn(300)
		if st := r.services[1].Stats(); st.StateFileErrors != 4 || st.MetaLogStart < 400 {
			t.Errorf("%d errors, the log starts at %d", st.StateFileErrors, st.MetaLogStart)
		}
	})
}

// A replica that has moved away does not come back, empty and with a vote, when power fails before the others know that it
// is gone; nor when the state file that has it gone is damaged then.
func TestDroppedReplicaStaysAway(t *testing.T) {
	for name, damaged := range map[string]bool{"whole file": false, "damaged file": true} {
		t.Run(name, func(t *testing.T) { dropped(t, damaged) })
	}
}

func dropped(t *testing.T, damaged bool) {
	inRealWorld(t, 4, func(t *testing.T, r *real) {
		info := r.create("t", 1, 3)
		from := info.Partitions[0].Replicas
		to := slices.Clone(from)
		for id := protocol.BrokerID(1); id <= 4; id++ {
			if !slices.Contains(from, id) {
				to[2] = id
			}
		}
		leaver := from[2]
		s := r.services[leaver]
		s.fold.want()
		r.until("written down", func() error {
			if s.Stats().StateFiles == 0 {
				return errors.New("not yet")
			}
			return nil
		})
		p := s.table.Load().topics["t"].parts[0]
		name := p.spec().Name
		e := r.services[1].adminOp(t, protocol.OpTopicReassign, protocol.ReassignRequest{Name: "t", Partition: 0, Replicas: to}, nil)
		if e != nil {
			t.Fatal(e)
		}
		gone := func() error {
			names, err := r.disks[leaver].List("data")
			if err == nil && slices.Contains(names, name) {
				err = errors.New("the replica is still there")
			}
			return err
		}
		r.until("gone", gone)
		r.crash(leaver)
		if damaged {
			r.damage(leaver, false)
		}
		r.isolate(leaver, true) // nobody tells it what has happened
		r.boot(leaver)
		pass(5 * time.Second)
		if err := gone(); err != nil {
			t.Error(err)
		}
		s = r.services[leaver]
		if known := s.table.Load().snap.Topic("t") != nil; known == damaged {
			t.Errorf("alone, it knows the topic: %v", known)
		}
		if err := s.Ready(); damaged && (err == nil || !strings.Contains(err.Error(), "may be old")) {
			t.Errorf("ready: %v", err)
		}
		r.isolate(leaver, false)
		r.ready()
		if err := gone(); err != nil {
			t.Error(err)
		}
	})
}

// A state file never has what this broker's own log has not on the disk.
func TestStateFileBehindTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.closeAll()
		store, found, err := statefile.Open(vfs.NewMem(), "metadata")
		if err != nil {
			t.Fatal(err)
		}
		w.start(1, func(o *Options) { o.States = States{Store: store, Found: found, Records: 1} })
		w.ready()
		w.with(protocol.MetaTopic, 0, func(l *fakeLog) { l.volatile = map[protocol.BrokerID]bool{1: true} })
		before, _ := store.Newest()
		w.create("t", 1, 1)
		pass(time.Second)
		if i, _ := store.Newest(); i != before {
			t.Errorf("written at record %d before the log was durable", i.Next)
		}
		w.with(protocol.MetaTopic, 0, func(l *fakeLog) { l.volatile = nil })
		pass(time.Second)
		if i, _ := store.Newest(); i.Next != w.services[1].table.Load().snap.Next() {
			t.Errorf("written at record %d of %d", i.Next, w.services[1].table.Load().snap.Next())
		}
	})
}
