package meta_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/logq/logq/internal/meta"
	"github.com/logq/logq/internal/protocol"
)

func topicID(n int) protocol.TopicID {
	id := protocol.TopicID{6: 0x40, 8: 0x80}
	id[14], id[15] = byte(n>>8), byte(n)
	return id
}

// fold applies commands at consecutive offsets.
type fold struct {
	t     testing.TB
	state *meta.State
}

func newFold(t testing.TB, brokers int) *fold {
	f := &fold{t: t, state: meta.NewState()}
	f.apply(meta.ClusterInit{ClusterID: "c1", FeatureLevel: 1})
	for i := range brokers {
		f.apply(meta.RegisterBroker{Broker: meta.Broker{ID: protocol.BrokerID(i + 1), URL: fmt.Sprintf("nats://b%d:4222", i+1), FeatureLevel: 1}})
	}
	return f
}

func (f *fold) apply(c meta.Command) meta.Result {
	f.t.Helper()
	key, value, err := meta.Encode(c)
	if err != nil {
		f.t.Fatal(err)
	}
	return f.state.Apply(f.state.Snapshot().Next(), key, value)
}

func TestApplyIgnoresWhatWasApplied(t *testing.T) {
	f := newFold(t, 1)
	before := f.state.Snapshot()
	key, value, err := meta.Encode(meta.CreateTopic{Name: "t", ID: topicID(1), Partitions: [][]uint64{{1}}})
	if err != nil {
		t.Fatal(err)
	}
	if r := f.state.Apply(1, key, value); r.Err == nil || r.Created != nil {
		t.Errorf("an old offset is applied: %+v", r)
	}
	if !reflect.DeepEqual(before, f.state.Snapshot()) {
		t.Error("an old offset changed the state")
	}
	if r := f.state.Apply(100, key, value); r.Err != nil || f.state.Snapshot().Next() != 101 {
		t.Errorf("after a gap: %+v, next %d", r, f.state.Snapshot().Next())
	}
}

func TestEncodeRefusesWhatDoesNotFit(t *testing.T) {
	partitions := make([][]uint64, meta.MaxTopicPartitions)
	for i := range partitions {
		partitions[i] = []uint64{65535, 65534, 65533, 65532, 65531}
	}
	c := meta.CreateTopic{Name: strings.Repeat("x", 249), ID: topicID(1), Partitions: partitions}
	if _, _, err := meta.Encode(c); err != nil {
		t.Errorf("the largest topic with five replicas does not fit a command: %v", err)
	}
	c.Config = map[string]string{"a": strings.Repeat("x", meta.MaxCommandBytes)}
	if _, _, err := meta.Encode(c); protocol.CodeOf(err) != protocol.InvalidRequest {
		t.Errorf("a command over the limit: %v", err)
	}
}

func TestLimits(t *testing.T) {
	one := [][]uint64{{1}}
	t.Run("brokers", func(t *testing.T) {
		f := newFold(t, meta.MaxBrokers)
		if r := f.apply(meta.RegisterBroker{Broker: meta.Broker{ID: 60000, URL: "nats://x:4222", FeatureLevel: 1}}); r.Err == nil {
			t.Error("one broker too many is registered")
		}
		if r := f.apply(meta.RegisterBroker{Broker: meta.Broker{ID: 1, URL: "nats://y:4222", FeatureLevel: 1}}); r.Err != nil {
			t.Errorf("a known broker cannot change when the limit is reached: %v", r.Err)
		}
		for _, b := range []meta.Broker{
			{ID: 1, URL: strings.Repeat("x", meta.MaxAddressBytes+1), FeatureLevel: 1},
			{ID: 1, URL: "u", Rack: strings.Repeat("x", meta.MaxRackBytes+1), FeatureLevel: 1},
		} {
			if r := f.apply(meta.RegisterBroker{Broker: b}); r.Err == nil {
				t.Errorf("%.40v is registered", b)
			}
		}
	})
	t.Run("topics", func(t *testing.T) {
		f := newFold(t, 1)
		for i := range meta.MaxTopics {
			if r := f.apply(meta.CreateTopic{Name: fmt.Sprint(i), ID: topicID(i + 1), Partitions: one}); r.Err != nil {
				t.Fatal(r.Err)
			}
		}
		if r := f.apply(meta.CreateTopic{Name: "more", ID: topicID(30000), Partitions: one}); r.Err == nil || !strings.Contains(r.Err.Message, "limit") {
			t.Errorf("one topic too many: %v", r.Err)
		}
		if s := f.state.Snapshot(); s.PartitionCount() != meta.MaxTopics || len(s.Topics()) != meta.MaxTopics {
			t.Errorf("%d topics, %d partitions", len(s.Topics()), s.PartitionCount())
		}
	})
	t.Run("partitions", func(t *testing.T) {
		f := newFold(t, 1)
		many := slices.Repeat(one, meta.MaxTopicPartitions)
		if r := f.apply(meta.CreateTopic{Name: "big", ID: topicID(1), Partitions: append(many, one[0])}); protocol.CodeOf(r.Err) != protocol.InvalidPartitions {
			t.Errorf("one partition too many: %v", r.Err)
		}
		for i := range meta.MaxClusterPartitions / meta.MaxTopicPartitions {
			if r := f.apply(meta.CreateTopic{Name: fmt.Sprint(i), ID: topicID(i + 1), Partitions: many}); r.Err != nil {
				t.Fatal(r.Err)
			}
		}
		if r := f.apply(meta.CreateTopic{Name: "more", ID: topicID(1000), Partitions: one}); protocol.CodeOf(r.Err) != protocol.InvalidPartitions {
			t.Errorf("one partition too many for the cluster: %v", r.Err)
		}
	})
	t.Run("counts", func(t *testing.T) {
		s := newFold(t, 1).state.Snapshot()
		for _, replicas := range []int{0, -1, protocol.MaxReplicas + 1} {
			if err := meta.CheckCounts(s, "t", 1, replicas); protocol.CodeOf(err) != protocol.InvalidReplicationFactor {
				t.Errorf("%d replicas: %v", replicas, err)
			}
		}
	})
	t.Run("deletes", func(t *testing.T) {
		f := newFold(t, 1)
		for i := range meta.RememberedDeletes + 10 {
			f.apply(meta.CreateTopic{Name: "t", ID: topicID(i + 1), Partitions: one})
			if r := f.apply(meta.DeleteTopic{Name: "t", ID: topicID(i + 1)}); r.Err != nil || r.Deleted == nil {
				t.Fatal(r.Err)
			}
		}
		if r := f.apply(meta.DeleteTopic{Name: "t", ID: topicID(11)}); !r.Repeated {
			t.Errorf("a delete within memory: %+v", r)
		}
		if r := f.apply(meta.DeleteTopic{Name: "t", ID: topicID(10)}); protocol.CodeOf(r.Err) != protocol.UnknownTopicOrPartition {
			t.Errorf("a delete beyond memory: %+v", r)
		}
		if s := f.state.Snapshot(); s.PartitionCount() != 0 || len(s.Topics()) != 0 {
			t.Errorf("something is left: %v", s)
		}
	})
}

// A reader's snapshot never changes, whatever is applied after it was taken.
func TestSnapshotIsImmutable(t *testing.T) {
	f := newFold(t, 3)
	rng := rand.New(rand.NewPCG(1, 1))
	type kept struct {
		s    meta.Snapshot
		text string
	}
	var all []kept
	for i := range 300 {
		f.applyRandom(rng, i)
		var b strings.Builder
		printState(&b, f.state.Snapshot())
		all = append(all, kept{f.state.Snapshot(), b.String()})
	}
	for i, k := range all {
		var b strings.Builder
		printState(&b, k.s)
		if b.String() != k.text {
			t.Fatalf("snapshot %d changed from\n%s\nto\n%s", i, k.text, b.String())
		}
	}
}

func (f *fold) applyRandom(rng *rand.Rand, i int) meta.Result {
	name := fmt.Sprintf("t%d", rng.IntN(6))
	switch rng.IntN(7) {
	case 5, 6:
		return f.applyMove(rng)
	case 0:
		b := meta.Broker{ID: protocol.BrokerID(1 + rng.IntN(5)), URL: fmt.Sprintf("nats://%d", rng.IntN(3)), FeatureLevel: 1 + rng.IntN(3)}
		return f.apply(meta.RegisterBroker{Broker: b})
	case 1, 2:
		if t := f.state.Snapshot().Topic(name); t != nil {
			return f.apply(meta.DeleteTopic{Name: name, ID: t.ID})
		}
		return f.apply(meta.DeleteTopic{Name: name, ID: topicID(rng.IntN(i + 1))})
	default:
		c := meta.CreateTopic{Name: name, ID: topicID(i + 1 - rng.IntN(2)), Partitions: [][]uint64{{uint64(1 + rng.IntN(4))}, {2}}}
		if rng.IntN(2) == 0 {
			c.Bind = fmt.Sprintf("b.%d.*", rng.IntN(4))
		}
		return f.apply(c)
	}
}

// Two folds of the same records agree, and the state keeps its own rules.
func TestFoldIsDeterministic(t *testing.T) {
	for seed := range uint64(20) {
		a, b := newFold(t, 2), newFold(t, 2)
		ra, rb := rand.New(rand.NewPCG(seed, 7)), rand.New(rand.NewPCG(seed, 7))
		for i := range 200 {
			x, y := a.applyRandom(ra, i), b.applyRandom(rb, i)
			if !reflect.DeepEqual(x, y) {
				t.Fatalf("seed %d, record %d: %+v and %+v", seed, i, x, y)
			}
			checkState(t, a.state.Snapshot())
		}
		if !reflect.DeepEqual(a.state.Snapshot(), b.state.Snapshot()) {
			t.Fatalf("seed %d: the states differ", seed)
		}
	}
}

// checkState holds a snapshot to the rules that readers rely on.
func checkState(t testing.TB, s meta.Snapshot) {
	t.Helper()
	partitions := 0
	ids := map[protocol.TopicID]bool{}
	for i, topic := range s.Topics() {
		if i > 0 && s.Topics()[i-1].Name >= topic.Name {
			t.Fatalf("topics are not ordered: %q, %q", s.Topics()[i-1].Name, topic.Name)
		}
		if s.Topic(topic.Name) != topic || ids[topic.ID] || protocol.ValidateTopic(topic.Name) != nil || len(topic.Partitions) == 0 {
			t.Fatalf("topic %+v is not right", topic)
		}
		ids[topic.ID] = true
		partitions += len(topic.Partitions)
		for n := range topic.Partitions {
			part := protocol.Partition(n)
			for _, replicas := range [][]uint64{topic.Replicas(part), topic.Target(part)} {
				for i, id := range replicas {
					b := protocol.BrokerOf(id)
					if s.Broker(b) == nil && !s.Lost(topic, id) {
						t.Fatalf("topic %s is placed on broker %d, which is not registered", topic.Name, b)
					}
					if slices.ContainsFunc(replicas[:i], func(other uint64) bool { return protocol.BrokerOf(other) == b }) {
						t.Fatalf("topic %s has two replicas on broker %d: %d", topic.Name, b, replicas)
					}
				}
			}
		}
	}
	if partitions != s.PartitionCount() {
		t.Fatalf("%d partitions are counted as %d", partitions, s.PartitionCount())
	}
	for i, b := range s.Brokers() {
		if i > 0 && s.Brokers()[i-1].ID >= b.ID || s.Broker(b.ID) != b {
			t.Fatalf("brokers are not ordered: %v", s.Brokers())
		}
	}
}

func FuzzApply(f *testing.F) {
	f.Add("cluster-init", `{"level":1,"command":{"cluster_id":"x","feature_level":1}}`)
	f.Add("register-broker", `{"level":1,"command":{"broker":{"id":3,"url":"u","feature_level":1}}}`)
	f.Add("create-topic", `{"level":1,"command":{"name":"t","id":"00000000-0000-4000-8000-000000000007","partitions":[[1,2],[2,1]],"bind":"a.>","config":{"segment.bytes":"1048576"}}}`)
	f.Add("delete-topic", `{"level":1,"command":{"name":"kept","id":"00000000-0000-4000-8000-000000000001"}}`)
	f.Add("create-topic", `{"level":9,"command":null}`)
	f.Add("", "")
	f.Fuzz(func(t *testing.T, key, value string) {
		a, b := newFold(t, 2), newFold(t, 2)
		for _, s := range []*fold{a, b} {
			if r := s.apply(meta.CreateTopic{Name: "kept", ID: topicID(1), Partitions: [][]uint64{{1, 2}}, Bind: "kept.*"}); r.Err != nil {
				t.Fatal(r.Err)
			}
		}
		for range 2 {
			x := a.state.Apply(a.state.Snapshot().Next(), []byte(key), []byte(value))
			y := b.state.Apply(b.state.Snapshot().Next(), []byte(key), []byte(value))
			if !reflect.DeepEqual(x, y) {
				t.Fatalf("two folds disagree: %+v, %+v", x, y)
			}
			if x.Err != nil && (x.Err.Outcome != protocol.NotWritten || x.Created != nil || x.Deleted != nil) {
				t.Fatalf("a refused record did something: %+v", x)
			}
			checkState(t, a.state.Snapshot())
		}
		if !reflect.DeepEqual(a.state.Snapshot(), b.state.Snapshot()) {
			t.Fatal("two folds of the same records differ")
		}
	})
}

func BenchmarkApplyCreate(b *testing.B) {
	key, value, err := meta.Encode(meta.CreateTopic{Name: "t", ID: topicID(1), Partitions: slices.Repeat([][]uint64{{1, 2, 3}}, 8)})
	if err != nil {
		b.Fatal(err)
	}
	dkey, dvalue, err := meta.Encode(meta.DeleteTopic{Name: "t", ID: topicID(1)})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		f := newFold(b, 3)
		f.state.Apply(4, key, value)
		f.state.Apply(5, dkey, dvalue)
	}
}
