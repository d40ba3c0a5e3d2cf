package service

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logq/logq/internal/protocol"
)

func TestClusterForms(t *testing.T) {
	inWorld(t, 3, nil, func(t *testing.T, w *world) {
		id := w.services[1].ClusterID()
		if id == "" {
			t.Fatal("no cluster id")
		}
		for b, s := range w.services {
			if s.ClusterID() != id {
				t.Errorf("broker %d is in cluster %q, broker 1 in %q", b, s.ClusterID(), id)
			}
			var meta protocol.MetaReply
			if e := s.adminOp(t, protocol.OpMeta, protocol.MetaRequest{}, &meta); e != nil {
				t.Fatal(e)
			}
			if meta.ClusterID != id || meta.Controller != 1 || len(meta.Brokers) != 3 || len(meta.Topics) != 0 {
				t.Errorf("broker %d: %+v", b, meta)
			}
			for _, info := range meta.Brokers {
				if !info.Alive || info.URL != fmt.Sprintf("nats://b%d:4222", info.ID) {
					t.Errorf("broker %d sees %+v", b, info)
				}
			}
		}
	})
}

func TestSingleBroker(t *testing.T) {
	inWorld(t, 1, func(o *Options) { o.Peers, o.ClusterID = nil, "lonely" }, func(t *testing.T, w *world) {
		s := w.services[1]
		if s.ClusterID() != "lonely" {
			t.Errorf("cluster id %q", s.ClusterID())
		}
		info := w.create("t", 2, 0)
		if len(info.Partitions) != 2 || !slices.Equal(info.Partitions[0].Replicas, []protocol.BrokerID{1}) {
			t.Errorf("%+v", info)
		}
		if r := s.do(t, produceReq("t", 1, batchOf(t, "a"))); r.Err != nil || r.BaseOffset != 0 {
			t.Errorf("%+v", r)
		}
	})
}

func TestTopicLifecycle(t *testing.T) {
	inWorld(t, 3, nil, func(t *testing.T, w *world) {
		for via := protocol.BrokerID(1); via <= 3; via++ {
			s, name := w.services[via], fmt.Sprintf("t%d", via)
			var info protocol.TopicInfo
			req := protocol.CreateTopicRequest{Name: name, Partitions: 4, Replicas: 2, Bind: name + ".>", Config: map[string]string{"segment.bytes": "2097152"}}
			if e := s.adminOp(t, protocol.OpTopicCreate, req, &info); e != nil {
				t.Fatal(e)
			}
			if info.Name != name || info.ID.IsZero() || len(info.Partitions) != 4 || info.Error != nil {
				t.Errorf("created %+v", info)
			}
			for _, p := range info.Partitions {
				if p.Leader == 0 || p.Term == 0 || len(p.Replicas) != 2 || p.Leader != p.Replicas[0] {
					t.Errorf("partition %+v", p)
				}
			}
			if e := s.adminOp(t, protocol.OpTopicCreate, req, nil); protocol.CodeOf(e) != protocol.TopicAlreadyExists {
				t.Errorf("created again: %v", e)
			}
		}
		var list protocol.ListTopicsReply
		if e := w.services[2].adminOp(t, protocol.OpTopicList, struct{}{}, &list); e != nil || len(list.Topics) != 3 || list.Topics[0].Name != "t1" {
			t.Errorf("list: %+v, %v", list, e)
		}
		bound, _ := w.services[3].Bindings()
		if len(bound) != 3 || bound[0] != (Binding{Subject: "t1.>", Topic: "t1"}) {
			t.Errorf("bindings %+v", bound)
		}
		id := list.Topics[0].ID
		var gone protocol.DeleteTopicReply
		if e := w.services[3].adminOp(t, protocol.OpTopicDelete, protocol.DeleteTopicRequest{Name: "t1"}, &gone); e != nil || gone.ID != id {
			t.Fatalf("delete: %+v, %v", gone, e)
		}
		w.until("removed", func() error {
			w.mu.Lock()
			defer w.mu.Unlock()
			if n := len(w.removes); n != 8 { // 4 partitions, 2 replicas each
				return fmt.Errorf("%d replicas removed", n)
			}
			return nil
		})
		for _, s := range w.services {
			if r := s.do(t, produceReq("t1", 0, batchOf(t, "a"))); protocol.CodeOf(errOf(r)) != protocol.UnknownTopicOrPartition {
				t.Errorf("produce to a deleted topic: %+v", r)
			}
			if e := s.adminOp(t, protocol.OpTopicDescribe, protocol.DescribeTopicRequest{Name: "t1"}, nil); protocol.CodeOf(e) != protocol.UnknownTopicOrPartition {
				t.Errorf("describe a deleted topic: %v", e)
			}
			if e := s.adminOp(t, protocol.OpTopicDelete, protocol.DeleteTopicRequest{Name: "t1"}, nil); protocol.CodeOf(e) != protocol.UnknownTopicOrPartition {
				t.Errorf("delete a deleted topic: %v", e)
			}
		}
	})
}

func errOf(r *protocol.Response) error {
	if r.Err == nil {
		return nil
	}
	return r.Err
}

func TestCreateRefused(t *testing.T) {
	inWorld(t, 3, nil, func(t *testing.T, w *world) {
		w.create("taken", 1, 1)
		tests := []struct {
			req  protocol.CreateTopicRequest
			code protocol.Code
			says string
		}{
			{protocol.CreateTopicRequest{Name: ""}, protocol.InvalidTopic, "empty"},
			{protocol.CreateTopicRequest{Name: "a.*"}, protocol.InvalidTopic, "wildcard"},
			{protocol.CreateTopicRequest{Name: "__meta"}, protocol.InvalidTopic, "reserved"},
			{protocol.CreateTopicRequest{Name: "taken"}, protocol.TopicAlreadyExists, "exists"},
			{protocol.CreateTopicRequest{Name: "t", Partitions: -1}, protocol.InvalidPartitions, "want 1 to"},
			{protocol.CreateTopicRequest{Name: "t", Partitions: 1 << 30}, protocol.InvalidPartitions, "want 1 to"},
			{protocol.CreateTopicRequest{Name: "t", Replicas: 4}, protocol.InvalidReplicationFactor, "3 of the 3 configured"},
			{protocol.CreateTopicRequest{Name: "t", Replicas: 99}, protocol.InvalidReplicationFactor, "want 1 to"},
			{protocol.CreateTopicRequest{Name: "t", Config: map[string]string{"durability": "replicated"}}, protocol.InvalidConfig, "not known"},
			{protocol.CreateTopicRequest{Name: "t", Bind: ">"}, protocol.InvalidConfig, "wildcard"},
		}
		for _, tt := range tests {
			for _, s := range w.services {
				e := s.adminOp(t, protocol.OpTopicCreate, tt.req, nil)
				if protocol.CodeOf(e) != tt.code || !strings.Contains(e.Message, tt.says) || e.Outcome != protocol.NotWritten {
					t.Errorf("create %+v: %v, want %s and %q", tt.req, e, tt.code, tt.says)
				}
			}
		}
	})
}

// A topic may be created while the cluster still starts: the request waits for the brokers that it needs.
func TestCreateWaitsForBrokers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.closeAll()
		w.start(3, nil, 1, 2)
		w.ready()
		pending := w.services[2].begin(t, t.Context(), protocol.Request{Op: protocol.OpTopicCreate, Body: []byte(`{"name":"t","replicas":3}`)})
		pass(time.Second)
		w.start(3, nil, 3)
		if r := pending(); r.Err != nil {
			t.Error(r.Err)
		}
	})
}

func TestCreateWithoutEnoughBrokers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.closeAll()
		w.start(3, nil, 1, 2)
		w.ready()
		r := w.services[2].do(t, protocol.Request{Op: protocol.OpTopicCreate, DeadlineMs: 2000, Body: []byte(`{"name":"t","replicas":3}`)})
		want(t, r, protocol.InvalidReplicationFactor, protocol.NotWritten)
		if !strings.Contains(r.Err.Message, "2 of the 3 configured") {
			t.Error(r.Err)
		}
	})
}

// A topic whose partitions get no leader exists all the same, and the answer says both.
func TestCreateWithoutLeaders(t *testing.T) {
	inWorld(t, 3, nil, func(t *testing.T, w *world) {
		w.mu.Lock()
		w.manual = true
		w.mu.Unlock()
		var info protocol.TopicInfo
		if e := w.services[1].adminOp(t, protocol.OpTopicCreate, protocol.CreateTopicRequest{Name: "t", Partitions: 2, Replicas: 3}, &info); e != nil {
			t.Fatal(e)
		}
		if protocol.CodeOf(info.Error) != protocol.LeaderNotAvailable || info.Error.Outcome != protocol.Done {
			t.Errorf("%+v", info)
		}
		var status protocol.ClusterStatusReply
		if e := w.services[2].adminOp(t, protocol.OpClusterStatus, struct{}{}, &status); e != nil || len(status.Leaderless) != 2 || status.Partitions != 2 {
			t.Errorf("%+v, %v", status, e)
		}
	})
}

// The controller may change at any point of a create: before the request, between commit and answer, or while nothing
// commits. The topic is created once, under the id that the first attempt carried.
func TestControllerChangesDuringCreate(t *testing.T) {
	create := protocol.Request{Op: protocol.OpTopicCreate, Body: []byte(`{"name":"t","partitions":2,"replicas":3}`)}
	check := func(t *testing.T, w *world, r *protocol.Response) {
		t.Helper()
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		if n := len(w.services[2].table.Load().snap.Topics()); n != 1 {
			t.Errorf("%d topics", n)
		}
	}
	t.Run("before", func(t *testing.T) {
		inWorld(t, 3, nil, func(t *testing.T, w *world) {
			w.elect(protocol.MetaTopic, 0, 0)
			pending := w.services[2].begin(t, t.Context(), create)
			pass(time.Second)
			w.elect(protocol.MetaTopic, 0, 3)
			check(t, w, pending())
		})
	})
	t.Run("answer lost", func(t *testing.T) {
		inWorld(t, 3, nil, func(t *testing.T, w *world) {
			w.mu.Lock()
			w.deaf[[2]protocol.BrokerID{2, 1}] = true
			w.mu.Unlock()
			pending := w.services[2].begin(t, t.Context(), create)
			pass(100 * time.Millisecond)
			w.elect(protocol.MetaTopic, 0, 3)
			check(t, w, pending())
		})
	})
	t.Run("overwritten", func(t *testing.T) {
		inWorld(t, 3, nil, func(t *testing.T, w *world) {
			w.with(protocol.MetaTopic, 0, func(l *fakeLog) { l.held = true })
			pending := w.services[2].begin(t, t.Context(), create)
			pass(time.Second)
			w.with(protocol.MetaTopic, 0, func(l *fakeLog) { l.held = false; w.lose(l); l.elect(2) })
			check(t, w, pending())
		})
	})
	t.Run("commits late", func(t *testing.T) {
		inWorld(t, 3, nil, func(t *testing.T, w *world) {
			hold := func(l *fakeLog) { l.held = true }
			synctest.Wait()
			pending := w.services[2].begin(t, t.Context(), create)
			w.with(protocol.MetaTopic, 0, hold)
			pass(time.Second)
			w.release(protocol.MetaTopic, 0)
			check(t, w, pending())
		})
	})
	t.Run("never", func(t *testing.T) {
		inWorld(t, 3, nil, func(t *testing.T, w *world) {
			w.elect(protocol.MetaTopic, 0, 0)
			want(t, w.services[2].do(t, create), protocol.NotController, protocol.NotWritten)
		})
	})
	t.Run("answer never comes", func(t *testing.T) {
		inWorld(t, 3, nil, func(t *testing.T, w *world) {
			w.mu.Lock()
			w.deaf[[2]protocol.BrokerID{2, 1}] = true
			w.mu.Unlock()
			want(t, w.services[2].do(t, create), protocol.RequestTimedOut, protocol.Unknown)
			if n := len(w.services[1].table.Load().snap.Topics()); n != 1 {
				t.Errorf("%d topics", n)
			}
		})
	})
}

func TestDescribeAsksTheLeaders(t *testing.T) {
	inWorld(t, 3, nil, func(t *testing.T, w *world) {
		w.create("t", 3, 3)
		for p := range protocol.Partition(3) {
			for range int(p) + 1 {
				if r := w.services[1].do(t, produceReq("t", p, batchOf(t, "a", "b"))); r.Err != nil {
					t.Fatal(r.Err)
				}
			}
		}
		for _, s := range w.services {
			var info protocol.TopicInfo
			if e := s.adminOp(t, protocol.OpTopicDescribe, protocol.DescribeTopicRequest{Name: "t"}, &info); e != nil {
				t.Fatal(e)
			}
			for p, got := range info.Partitions {
				if got.HighWatermark != int64(2*p+2) || got.Leader == 0 || len(got.InSync) == 0 {
					t.Errorf("partition %+v", got)
				}
			}
		}
	})
}

func TestClusterStatus(t *testing.T) {
	inWorld(t, 3, nil, func(t *testing.T, w *world) {
		w.create("t", 3, 3)
		w.create("single", 1, 1)
		for p := range protocol.Partition(3) {
			w.elect("t", p, protocol.BrokerID(p+1))
		}
		status := func() (reply protocol.ClusterStatusReply) {
			t.Helper()
			if e := w.services[1].adminOp(t, protocol.OpClusterStatus, struct{}{}, &reply); e != nil {
				t.Fatal(e)
			}
			return reply
		}
		pass(2 * time.Second)
		got := status()
		if got.Partitions != 4 || len(got.UnderReplicated) != 0 || len(got.Leaderless) != 0 || len(got.Brokers) != 3 || got.Controller != 1 {
			t.Errorf("healthy: %+v", got)
		}
		led, replicas := 0, 0
		for _, b := range got.Brokers {
			led, replicas = led+b.PartitionsLed, replicas+b.Replicas
		}
		if led != 4 || replicas != 10 {
			t.Errorf("%d led, %d replicas: %+v", led, replicas, got.Brokers)
		}
		w.with("t", 0, func(l *fakeLog) { l.lags[3] = true })
		pass(2 * time.Second)
		if got := status(); len(got.UnderReplicated) != 1 || got.UnderReplicated[0] != (protocol.PartitionRef{Topic: "t"}) {
			t.Errorf("with a lagging replica: %+v", got)
		}
		w.stop(3)
		pass(3 * time.Second)
		got = status()
		if len(got.UnderReplicated) < 3 || got.Brokers[2].Alive || !got.Brokers[1].Alive || len(got.Leaderless) == 0 {
			t.Errorf("with a dead broker: %+v", got)
		}
	})
}

func TestMetadataOfSomeTopics(t *testing.T) {
	inWorld(t, 3, nil, func(t *testing.T, w *world) {
		w.create("a", 1, 1)
		w.create("b", 1, 1)
		var reply protocol.MetaReply
		if e := w.services[3].adminOp(t, protocol.OpMeta, protocol.MetaRequest{Topics: []string{"b", "nosuch", "a..b"}}, &reply); e != nil {
			t.Fatal(e)
		}
		if len(reply.Topics) != 3 || reply.Topics[0].Name != "b" || reply.Topics[0].Partitions[0].Leader == 0 ||
			protocol.CodeOf(reply.Topics[1].Error) != protocol.UnknownTopicOrPartition || protocol.CodeOf(reply.Topics[2].Error) != protocol.InvalidTopic {
			t.Errorf("%+v", reply.Topics)
		}
	})
}

// A broker that restarts folds the metadata anew: it opens what it holds, deletes what was deleted, and does not open what
// it is to delete.
func TestRestart(t *testing.T) {
	inWorld(t, 3, nil, func(t *testing.T, w *world) {
		w.create("kept", 2, 3)
		gone := w.create("gone", 2, 3)
		w.stop(3)
		w.elect(protocol.MetaTopic, 0, 1)
		if e := w.services[1].adminOp(t, protocol.OpTopicDelete, protocol.DeleteTopicRequest{Name: "gone"}, nil); e != nil {
			t.Fatal(e)
		}
		clear(w.opens)
		clear(w.removes)
		w.start(3, nil, 3)
		w.ready()
		pass(time.Second)
		w.mu.Lock()
		defer w.mu.Unlock()
		opened := 0
		for name := range w.opens {
			if strings.Contains(name, gone.ID.String()) {
				t.Errorf("a deleted replica is opened: %s", name)
			}
			opened++
		}
		if opened != 3 || len(w.removes) != 2 {
			t.Errorf("opened %v, removed %v", w.opens, w.removes)
		}
	})
}

// A replica that cannot be opened is tried again, unless it is damaged; the broker serves everything else meanwhile.
func TestOpenFails(t *testing.T) {
	inWorld(t, 1, nil, func(t *testing.T, w *world) {
		s := w.services[1]
		fail := protocol.Errorf(protocol.StorageError, "disk full")
		w.mu.Lock()
		w.openErr = func(_ protocol.BrokerID, spec Spec) error {
			if strings.HasPrefix(spec.Name, "t-") {
				return fail
			}
			return nil
		}
		w.mu.Unlock()
		r := s.do(t, protocol.Request{Op: protocol.OpTopicCreate, DeadlineMs: 1000, Body: []byte(`{"name":"t"}`)})
		if r.Err != nil || !strings.Contains(string(r.Body), "LEADER_NOT_AVAILABLE") {
			t.Errorf("%+v", r)
		}
		want(t, s.do(t, produceReq("t", 0, batchOf(t, "a"))), protocol.StorageError, protocol.NotWritten)
		if st := s.Stats(); st.ReplicasClosed != 1 || st.Leaderless != 1 {
			t.Errorf("%+v", st)
		}
		if err := s.Ready(); err == nil || !strings.Contains(err.Error(), "not open") {
			t.Errorf("ready: %v", err)
		}
		w.create("u", 1, 1)
		damaged := *fail
		damaged.Retriable = false
		w.mu.Lock()
		fail = &damaged
		w.mu.Unlock()
		pass(time.Minute)
		w.mu.Lock()
		before := w.opens["1 "+s.table.Load().topics["t"].parts[0].spec().Name]
		w.mu.Unlock()
		pass(5 * time.Minute)
		w.mu.Lock()
		after := w.opens["1 "+s.table.Load().topics["t"].parts[0].spec().Name]
		w.mu.Unlock()
		if before < 2 || after != before {
			t.Errorf("%d attempts before, %d after the damage", before, after)
		}
	})
}

// Many clients create topics at once through all brokers: of one name exactly one succeeds, and the load is spread evenly
// though every placement depends on the one before.
func TestConcurrentCreates(t *testing.T) {
	inWorld(t, 3, nil, func(t *testing.T, w *world) {
		var same, others []func() *protocol.Response
		for i := range 24 {
			s := w.services[protocol.BrokerID(i%3+1)]
			others = append(others, s.begin(t, t.Context(), protocol.Request{Op: protocol.OpTopicCreate, Body: fmt.Appendf(nil, `{"name":"t%d","replicas":2}`, i)}))
			same = append(same, s.begin(t, t.Context(), protocol.Request{Op: protocol.OpTopicCreate, Body: []byte(`{"name":"same","replicas":1}`)}))
		}
		created := 0
		for _, f := range same {
			if r := f(); r.Err == nil {
				created++
			} else {
				want(t, r, protocol.TopicAlreadyExists, protocol.NotWritten)
			}
		}
		for _, f := range others {
			want(t, f(), protocol.None, protocol.Done)
		}
		if created != 1 {
			t.Errorf("%d creates of one name succeeded", created)
		}
		leaders, replicas := map[protocol.BrokerID]int{}, map[protocol.BrokerID]int{}
		for _, topic := range w.services[2].table.Load().snap.Topics() {
			for i, id := range topic.Partitions[0] {
				if i == 0 {
					leaders[protocol.BrokerOf(id)]++
				}
				replicas[protocol.BrokerOf(id)]++
			}
		}
		for b := protocol.BrokerID(1); b <= 3; b++ {
			if leaders[b] < 8 || leaders[b] > 9 || replicas[b] < 16 || replicas[b] > 17 {
				t.Errorf("leaders %v, replicas %v", leaders, replicas)
			}
		}
	})
}

// Deleting the data of a deleted topic is tried until it succeeds.
func TestRemoveIsRetried(t *testing.T) {
	inWorld(t, 1, nil, func(t *testing.T, w *world) {
		w.create("t", 1, 1)
		w.mu.Lock()
		w.rmErr = errLost
		w.mu.Unlock()
		s := w.services[1]
		if e := s.adminOp(t, protocol.OpTopicDelete, protocol.DeleteTopicRequest{Name: "t"}, nil); e != nil {
			t.Fatal(e)
		}
		pass(time.Minute)
		w.mu.Lock()
		w.rmErr = nil
		w.mu.Unlock()
		w.until("removed", func() error {
			if n := s.Stats().ReplicasRemoved; n != 1 {
				return fmt.Errorf("%d replicas removed", n)
			}
			return nil
		})
	})
}

// A leader that does not answer is described by what it has last said of itself.
func TestDescribeWithSilentLeader(t *testing.T) {
	inWorld(t, 3, nil, func(t *testing.T, w *world) {
		w.create("t", 1, 3)
		leads, other := w.leaderService("t", 0)
		if r := leads.do(t, produceReq("t", 0, batchOf(t, "a"))); r.Err != nil {
			t.Fatal(r.Err)
		}
		pass(time.Second)
		for _, broken := range []map[[2]protocol.BrokerID]bool{w.deaf, w.cut} {
			w.mu.Lock()
			broken[[2]protocol.BrokerID{other.id, leads.id}] = true
			w.mu.Unlock()
			var info protocol.TopicInfo
			if e := other.adminOp(t, protocol.OpTopicDescribe, protocol.DescribeTopicRequest{Name: "t"}, &info); e != nil || info.Partitions[0].HighWatermark != 1 {
				t.Errorf("%+v, %v", info, e)
			}
		}
	})
}

func TestAdminLimits(t *testing.T) {
	inWorld(t, 1, func(o *Options) { o.MaxAdmin = 1 }, func(t *testing.T, w *world) {
		s := w.services[1]
		w.elect(protocol.MetaTopic, 0, 0)
		waiting := s.begin(t, t.Context(), protocol.Request{Op: protocol.OpTopicCreate, Body: []byte(`{"name":"t"}`)})
		want(t, s.do(t, protocol.Request{Op: protocol.OpMeta}), protocol.ThrottlingQuotaExceeded, protocol.NotWritten)
		w.elect(protocol.MetaTopic, 0, 1)
		want(t, waiting(), protocol.None, protocol.Done)
		for _, op := range []protocol.Op{protocol.OpMeta, protocol.OpTopicCreate, protocol.OpTopicDescribe, protocol.OpTopicDelete} {
			want(t, s.do(t, protocol.Request{Op: op, Body: []byte("{")}), protocol.InvalidRequest, protocol.NotWritten)
			want(t, s.do(t, protocol.Request{Op: op, Body: make([]byte, protocol.MaxJSONBytes+1)}), protocol.InvalidRequest, protocol.NotWritten)
		}
	})
}

// Without a controller what is known is still answered; what may not be known is not denied.
func TestWithoutController(t *testing.T) {
	inWorld(t, 3, nil, func(t *testing.T, w *world) {
		w.create("t", 1, 3)
		w.elect(protocol.MetaTopic, 0, 0)
		s := w.services[2]
		pass(time.Second)
		var list protocol.ListTopicsReply
		if e := s.adminOp(t, protocol.OpTopicList, struct{}{}, &list); e != nil || len(list.Topics) != 1 {
			t.Errorf("%+v, %v", list, e)
		}
		if e := s.adminOp(t, protocol.OpTopicDescribe, protocol.DescribeTopicRequest{Name: "t"}, nil); e != nil {
			t.Error(e)
		}
		if e := s.adminOp(t, protocol.OpTopicDescribe, protocol.DescribeTopicRequest{Name: "u"}, nil); protocol.CodeOf(e) != protocol.LeaderNotAvailable {
			t.Errorf("describe: %v", e)
		}
		want(t, s.do(t, produceReq("u", 0, batchOf(t, "a"))), protocol.LeaderNotAvailable, protocol.NotWritten)
		want(t, s.do(t, produceReq("t", 0, batchOf(t, "a"))), protocol.None, protocol.Done)
		if err := s.Ready(); err == nil || !strings.Contains(err.Error(), "no controller") {
			t.Errorf("ready: %v", err)
		}
	})
}

// Between brokers: admin requests carry the topic's id, and are answered by the controller only.
func TestForwardedAdmin(t *testing.T) {
	inWorld(t, 3, nil, func(t *testing.T, w *world) {
		w.create("t", 1, 3)
		id := newTopicID()
		tests := []struct {
			to   protocol.BrokerID
			req  protocol.Request
			code protocol.Code
		}{
			{1, protocol.Request{Op: protocol.OpTopicCreate, Body: []byte(`{"name":"u"}`)}, protocol.InvalidRequest},
			{1, protocol.Request{Op: protocol.OpTopicDelete, Body: []byte(`{"name":"t"}`)}, protocol.InvalidRequest},
			{1, protocol.Request{Op: protocol.OpTopicDelete, Key: id[:], Body: []byte(`{"name":"t"}`)}, protocol.UnknownTopicOrPartition},
			{2, protocol.Request{Op: protocol.OpTopicDelete, Key: id[:], Body: []byte(`{"name":"t"}`)}, protocol.NotController},
			{2, protocol.Request{Op: protocol.OpTopicCreate, Key: id[:], Body: []byte(`{"name":"u","replicas":1}`)}, protocol.NotController},
			{2, protocol.Request{Op: protocol.OpMetaSync}, protocol.NotController},
			{1, protocol.Request{Op: protocol.OpMetaSync}, protocol.None},
			{2, protocol.Request{Op: protocol.OpTopicStatus, Topic: "u"}, protocol.UnknownTopicOrPartition},
			{1, protocol.Request{Op: protocol.OpTopicCreate, Key: id[:], Body: []byte(`{"name":"u","replicas":1}`)}, protocol.None},
			{1, protocol.Request{Op: protocol.OpTopicCreate, Key: id[:], Body: []byte(`{"name":"u","replicas":1}`)}, protocol.None}, // again
			{1, protocol.Request{Op: protocol.OpTopicDelete, Key: id[:], Body: []byte(`{"name":"u"}`)}, protocol.None},
			{1, protocol.Request{Op: protocol.OpTopicDelete, Key: id[:], Body: []byte(`{"name":"u"}`)}, protocol.None}, // again
		}
		for i, tt := range tests {
			tt.req.Hops = 1
			done := make(chan []byte, 1)
			w.services[tt.to].HandleForwarded(t.Context(), 3, tt.req.AppendTo(nil), func(b []byte) { done <- b })
			r := new(protocol.Response)
			if err := r.Decode(<-done); err != nil {
				t.Fatal(err)
			}
			if protocol.CodeOf(errOf(r)) != tt.code {
				t.Errorf("request %d: %+v, want %s", i, r, tt.code)
			}
			if tt.code == protocol.NotController && (r.Err.Leader != 1 || r.Err.LeaderURL == "") {
				t.Errorf("request %d does not name the controller: %+v", i, r.Err)
			}
		}
	})
}
