package service

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logq/logq/internal/journal"
	"github.com/logq/logq/internal/multiraft"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/internal/replica"
	"github.com/logq/logq/internal/statefile"
	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/raft"
	"github.com/logq/logq/segments"
)

// real is a cluster of services on the production host, with disks in memory and a network that delivers at once or not at
// all. Requests between brokers go over the fake network of world.
type real struct {
	*world
	n        int
	states   States                      // limits of the state files
	who      map[protocol.BrokerID]Intro // the directories, if a test has them
	faults   *vfs.Faults                 // of the disk with the state files; nil = none
	disks    map[protocol.BrokerID]*vfs.Mem
	journals map[protocol.BrokerID]*journal.Mem

	hostsMu sync.Mutex
	hosts   map[protocol.BrokerID]*multiraft.Host // guarded by hostsMu
	lonely  map[protocol.BrokerID]bool            // guarded by hostsMu; cut off from the others
}

func inRealWorld(t *testing.T, n int, f func(t *testing.T, r *real)) {
	t.Helper()
	inStatesWorld(t, n, States{}, f)
}

// inStatesWorld has limits of its own for the state files.
func inStatesWorld(t *testing.T, n int, states States, f func(t *testing.T, r *real)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &real{
			world: newWorld(t), n: n, states: states, disks: map[protocol.BrokerID]*vfs.Mem{}, journals: map[protocol.BrokerID]*journal.Mem{},
			hosts: map[protocol.BrokerID]*multiraft.Host{}, lonely: map[protocol.BrokerID]bool{},
		}
		for id := protocol.BrokerID(1); int(id) <= n; id++ {
			r.disks[id], r.journals[id] = vfs.NewMem(), journal.NewMem()
			r.boot(id)
		}
		defer func() {
			r.closeAll()
			for _, h := range r.hosts {
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				if err := h.Close(ctx); err != nil {
					t.Errorf("close host: %v", err)
				}
				cancel()
			}
		}()
		r.ready()
		f(t, r)
	})
}

// boot starts a broker on its disk.
func (r *real) boot(id protocol.BrokerID) {
	r.t.Helper()
	h, err := multiraft.New(multiraft.Options{
		Broker: id, FS: r.disks[id], Dir: "data", Journal: r.journals[id], Transport: wire{r, id}, Shards: 2, Seed: uint64(id) * 977,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	h.Start()
	r.hostsMu.Lock()
	r.hosts[id] = h
	r.hostsMu.Unlock()
	var disk vfs.FS = r.disks[id]
	if r.faults != nil {
		disk = vfs.WithFaults(disk, r.faults)
	}
	store, found, err := statefile.Open(disk, "metadata")
	if err != nil {
		r.t.Fatal(err)
	}
	r.start(r.n, func(o *Options) {
		o.Host, o.States = NewHost(h), r.states
		o.States.Store, o.States.Found = store, found
		if o.Intro = r.who[id]; o.Incarnation > 0 {
			o.Brokers = slices.Collect(maps.Keys(r.who))
		}
	}, id)
}

// crash cuts a broker's power: what was not synced is gone.
func (r *real) crash(id protocol.BrokerID) {
	r.t.Helper()
	r.crashWith(id, vfs.CrashOptions{})
}

// crashWith keeps some of what was not synced.
func (r *real) crashWith(id protocol.BrokerID, o vfs.CrashOptions) {
	r.t.Helper()
	r.hostsMu.Lock()
	h := r.hosts[id]
	delete(r.hosts, id)
	r.hostsMu.Unlock()
	disk, jrnl := r.disks[id].Crash(o), r.journals[id].Crash()
	r.stop(id)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = h.Close(ctx) // its disk is dead
	r.disks[id], r.journals[id] = disk, jrnl
}

func (r *real) isolate(id protocol.BrokerID, alone bool) {
	r.hostsMu.Lock()
	r.lonely[id] = alone
	r.hostsMu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	for other := protocol.BrokerID(1); int(other) <= r.n; other++ {
		r.cut[[2]protocol.BrokerID{id, other}] = alone
		r.cut[[2]protocol.BrokerID{other, id}] = alone
	}
}

// leaderOf returns the broker that leads a partition, asking the broker given.
func (r *real) leader(via protocol.BrokerID, topic string, p protocol.Partition) (id protocol.BrokerID) {
	r.t.Helper()
	s := r.services[via]
	r.until("led", func() error {
		if id = s.leaderOf(s.table.Load().topics[topic].parts[p]).broker; id == 0 {
			return errors.New("no leader")
		}
		return nil
	})
	return id
}

// wire carries Raft messages.
type wire struct {
	r    *real
	from protocol.BrokerID
}

func (w wire) Send(to protocol.BrokerID, m *raft.Message, frames [][]byte) bool {
	w.r.hostsMu.Lock()
	h, cut := w.r.hosts[to], w.r.lonely[to] || w.r.lonely[w.from]
	w.r.hostsMu.Unlock()
	if h == nil || cut {
		return false
	}
	h.Deliver(m, bytes.Join(frames, nil))
	return true
}

func (r *real) all(via protocol.BrokerID, topic string, p protocol.Partition) []string {
	r.t.Helper()
	var out []string
	for at := int64(0); ; {
		res := r.services[via].do(r.t, fetchReq(r.t, topic, p, protocol.FetchRequest{Offset: at}))
		if res.Err != nil {
			r.t.Fatal(res.Err)
		}
		out = append(out, values(r.t, res.Body)...)
		if at = res.NextOffset; at == res.HighWatermark {
			return out
		}
	}
}

func TestRealCluster(t *testing.T) {
	inRealWorld(t, 3, func(t *testing.T, r *real) {
		r.create("t", 2, 3)
		var want0 []string
		send := func(via protocol.BrokerID, n int) {
			t.Helper()
			for range n {
				v := fmt.Sprint("v", len(want0))
				req := produceReq("t", 0, batchOf(t, v))
				if len(want0)%2 == 1 {
					req = pubReq("t", 0, v)
				}
				res := r.services[via].do(t, req)
				if res.Err != nil || res.BaseOffset != int64(len(want0)) {
					t.Fatalf("%s through broker %d: %+v", v, via, res)
				}
				want0 = append(want0, v)
			}
		}
		for via := protocol.BrokerID(1); via <= 3; via++ {
			send(via, 10)
		}
		dead := r.leader(1, "t", 0)
		r.crash(dead)
		alive := dead%3 + 1
		send(alive, 10)
		r.boot(dead)
		r.ready()
		send(dead, 10)
		for via := protocol.BrokerID(1); via <= 3; via++ {
			if got := r.all(via, "t", 0); strings.Join(got, " ") != strings.Join(want0, " ") {
				t.Errorf("through broker %d: %v", via, got)
			}
			res := r.services[via].do(t, fetchReq(t, "t", 0, protocol.FetchRequest{Offset: 999}))
			want(t, res, protocol.OffsetOutOfRange, protocol.NotWritten)
			res = r.services[via].do(t, protocol.Request{Op: protocol.OpOffsets, Topic: "t", Body: []byte(`{"at":"time","timestamp_ms":1}`)})
			if res.Err != nil || res.BaseOffset != 0 || res.TimestampMs <= 0 {
				t.Errorf("offset by time: %+v", res)
			}
		}
		var info protocol.TopicInfo
		if e := r.services[1].adminOp(t, protocol.OpTopicDescribe, protocol.DescribeTopicRequest{Name: "t"}, &info); e != nil || info.Partitions[0].HighWatermark != int64(len(want0)) {
			t.Errorf("%+v, %v", info, e)
		}
		r.until("in sync", func() error {
			var st protocol.ClusterStatusReply
			if e := r.services[2].adminOp(t, protocol.OpClusterStatus, struct{}{}, &st); e != nil {
				return e
			}
			if len(st.UnderReplicated)+len(st.Leaderless) > 0 {
				return fmt.Errorf("%+v", st)
			}
			return nil
		})
	})
}

// A leader that is cut off refuses appends with the right outcome: unknown for what it has appended, not written after it
// has stepped down. The rest of the cluster goes on, and the unknown one is decided one way.
func TestRealPartition(t *testing.T) {
	inRealWorld(t, 3, func(t *testing.T, r *real) {
		r.create("t", 1, 3)
		old := r.leader(1, "t", 0)
		r.isolate(old, true)
		req := produceReq("t", 0, batchOf(t, "unknown"))
		req.DeadlineMs = 5000
		start := time.Now()
		first := r.services[old].begin(t, t.Context(), req)
		pass(3 * time.Second)
		req = produceReq("t", 0, batchOf(t, "refused"))
		req.DeadlineMs = 4000
		res := r.services[old].do(t, req)
		want(t, res, protocol.NotEnoughReplicas, protocol.NotWritten)
		res = r.services[old%3+1].do(t, produceReq("t", 0, batchOf(t, "majority")))
		want(t, res, protocol.None, protocol.Done)
		res = first()
		want(t, res, protocol.RequestTimedOut, protocol.Unknown)
		if took := time.Since(start); took > 8*time.Second {
			t.Errorf("took %v", took)
		}
		r.isolate(old, false)
		r.ready()
		if got := r.all(old, "t", 0); len(got) != 1 || got[0] != "majority" {
			t.Errorf("got %v", got)
		}
	})
}

// Topics are deleted from the disks of all brokers, that of one which was down included.
func TestRealDelete(t *testing.T) {
	inRealWorld(t, 3, func(t *testing.T, r *real) {
		id := r.create("t", 2, 3).ID.String()
		r.create("kept", 1, 3)
		held := func(b protocol.BrokerID) (n int) {
			names, err := r.disks[b].List("data")
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range names {
				if strings.Contains(name, id) {
					n++
				}
			}
			return n
		}
		for b := range r.disks {
			if held(b) != 2 {
				t.Errorf("broker %d holds %d replicas", b, held(b))
			}
		}
		r.crash(3)
		if e := r.services[1].adminOp(t, protocol.OpTopicDelete, protocol.DeleteTopicRequest{Name: "t"}, nil); e != nil {
			t.Fatal(e)
		}
		if held(3) != 2 {
			t.Errorf("broker 3 holds %d replicas", held(3))
		}
		r.boot(3)
		r.ready()
		r.until("deleted", func() error {
			if n := held(1) + held(2) + held(3); n > 0 {
				return fmt.Errorf("%d replicas are left", n)
			}
			return nil
		})
		want(t, r.services[3].do(t, produceReq("kept", 0, batchOf(t, "a"))), protocol.None, protocol.Done)
	})
}

// Appends through all brokers while one after the other loses its power. What was acked is there, at its offset; what was
// definitely not written is not.
func TestRealCrashes(t *testing.T) {
	inRealWorld(t, 3, func(t *testing.T, r *real) {
		r.create("t", 1, 3)
		type outcome struct {
			value string
			r     *protocol.Response
		}
		results, stop := make(chan outcome, 100_000), make(chan struct{})
		var clients sync.WaitGroup
		for c := range 6 {
			clients.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					case <-time.After(20 * time.Millisecond):
					}
					r.mu.Lock()
					s := r.services[protocol.BrokerID(c%3+1)]
					r.mu.Unlock()
					if s == nil {
						continue
					}
					value := fmt.Sprintf("%d-%d", c, i)
					req := pubReq("t", 0, value)
					if c < 3 {
						req = produceReq("t", 0, batchOf(t, value))
					}
					answer := make(chan *protocol.Response, 1)
					s.Handle(context.Background(), &req, func(res *protocol.Response) { answer <- res })
					results <- outcome{value, <-answer}
				}
			})
		}
		for round := range 6 {
			id := protocol.BrokerID(round%3 + 1)
			pass(2 * time.Second)
			r.crash(id)
			pass(2 * time.Second)
			r.boot(id)
		}
		pass(3 * time.Second)
		close(stop)
		clients.Wait()
		close(results)
		r.ready()
		log := r.all(2, "t", 0)
		at := map[string]int{}
		for i, v := range log {
			if _, twice := at[v]; twice {
				t.Errorf("%s is there twice", v)
			}
			at[v] = i
		}
		acked, unknown, refused := 0, 0, 0
		for o := range results {
			i, there := at[o.value]
			switch {
			case o.r.Err == nil:
				acked++
				if !there || int64(i) != o.r.BaseOffset {
					t.Errorf("%s was acked at %d, and lies at %d (%v)", o.value, o.r.BaseOffset, i, there)
				}
			case o.r.Err.Outcome == protocol.NotWritten:
				refused++
				if there {
					t.Errorf("%s was refused with %v, and is there", o.value, o.r.Err)
				}
			default:
				unknown++
			}
		}
		t.Logf("%d acked, %d unknown, %d refused", acked, unknown, refused)
		if acked < 500 {
			t.Errorf("only %d acked, %d unknown, %d refused", acked, unknown, refused)
		}
	})
}

// Every error of the host has a code, and no outcome promises more than the error does.
func TestGroupErrors(t *testing.T) {
	wrap := func(err error) error { return fmt.Errorf("read t-0: %w", err) }
	tests := []struct {
		err     error
		code    protocol.Code
		outcome protocol.Outcome
	}{
		{&raft.NotLeaderError{Leader: 0x10002, Term: 3}, protocol.NotLeaderOrFollower, protocol.NotWritten},
		{&replica.LostError{Index: 1, Term: 2}, protocol.NotLeaderOrFollower, protocol.NotWritten},
		{raft.ErrTransferring, protocol.NotLeaderOrFollower, protocol.NotWritten},
		{raft.ErrBusy, protocol.ThrottlingQuotaExceeded, protocol.NotWritten},
		{multiraft.ErrNotServing, protocol.NotLeaderOrFollower, protocol.NotWritten},
		{&multiraft.ExpiredError{}, protocol.RequestTimedOut, protocol.NotWritten},
		{&replica.FailedError{Cause: multiraft.ErrClosed}, protocol.BrokerNotAvailable, protocol.NotWritten},
		{&replica.FailedError{Cause: &multiraft.UnknownGroupError{}}, protocol.NotLeaderOrFollower, protocol.NotWritten},
		{&replica.FailedError{Cause: errors.New("disk")}, protocol.StorageError, protocol.NotWritten},
		{raft.ErrFaulted, protocol.StorageError, protocol.NotWritten},
		{&replica.UnknownError{Cause: multiraft.ErrDeadline}, protocol.RequestTimedOut, protocol.Unknown},
		{&replica.UnknownError{Cause: multiraft.ErrClosed}, protocol.BrokerNotAvailable, protocol.Unknown},
		{&replica.UnknownError{Cause: errors.New("disk")}, protocol.StorageError, protocol.Unknown},
		{&replica.UnknownError{Cause: &raft.NotLeaderError{}}, protocol.StorageError, protocol.Unknown},
		{errors.New("what is this"), protocol.StorageError, protocol.Unknown},
	}
	for _, tt := range tests {
		for _, err := range []error{tt.err, wrap(tt.err)} {
			if got := groupError(err); got.Code != tt.code || got.Outcome != tt.outcome || !strings.Contains(got.Message, err.Error()) {
				t.Errorf("%v: %v, want %s (%s)", err, got, tt.code, tt.outcome)
			}
		}
	}
	if e := groupError(&raft.NotLeaderError{Leader: 0x10002}); e.Leader != 2 {
		t.Errorf("leader %d", e.Leader)
	}
	for _, err := range []error{&segments.CorruptionError{Err: errors.New("crc")}, &multiraft.IdentityError{}, &segments.IdentityError{}} {
		if e := openError(wrap(err)); e.Retriable || e.Code != protocol.StorageError {
			t.Errorf("%v: %+v", err, e)
		}
	}
	if e := openError(errors.New("disk full")); !e.Retriable {
		t.Errorf("%+v", e)
	}
}
