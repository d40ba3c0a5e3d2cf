package service

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logq/logq/internal/meta"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/record"
)

func TestOptions(t *testing.T) {
	w := newWorld(t)
	good := Options{ID: 1, Host: fakeHost{w, 1}}
	s, err := New(good)
	if err != nil {
		t.Fatal(err)
	}
	if o := s.opts; o.AliveTimeout != 2*time.Second || o.InflightBytes != 256<<20 || len(o.Brokers) != 1 {
		t.Errorf("defaults: %+v", o)
	}
	_, err = New(Options{Brokers: []protocol.BrokerID{3, 3}, MaxFetches: -1, MaxFetchBytes: 1 << 30})
	for _, fault := range []string{"ID must be", "must contain this broker", "distinct", "Host is missing", "Peers is missing", "negative", "MaxFetchBytes"} {
		if err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("%q is not reported: %v", fault, err)
		}
	}
}

func TestBeforeStart(t *testing.T) {
	w := newWorld(t)
	s, err := New(Options{ID: 1, Host: fakeHost{w, 1}})
	if err != nil {
		t.Fatal(err)
	}
	answer := make(chan *protocol.Response, 1)
	s.Handle(t.Context(), &protocol.Request{Op: protocol.OpMeta}, func(r *protocol.Response) { answer <- r })
	r := <-answer
	want(t, r, protocol.BrokerNotAvailable, protocol.NotWritten)
	if !strings.Contains(r.Err.Message, "starting") {
		t.Error(r.Err)
	}
	s.HandleGossip(2, nil)
	if err := s.Ready(); err == nil || s.ClusterID() != "" {
		t.Errorf("ready: %v, cluster %q", err, s.ClusterID())
	}
	if bound, changed := s.Bindings(); len(bound) != 0 || changed == nil {
		t.Errorf("bindings %v, %v", bound, changed)
	}
	if st := s.Stats(); st.Refused != 1 {
		t.Errorf("%+v", st)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestStartFails(t *testing.T) {
	w := newWorld(t)
	boom := errors.New("boom")
	w.openErr = func(protocol.BrokerID, Spec) error { return boom }
	s, err := New(Options{ID: 1, Host: fakeHost{w, 1}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context(), protocol.BrokerInfo{}); !errors.Is(err, boom) {
		t.Errorf("start: %v", err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// Close lets what is under way finish, and refuses what comes.
func TestCloseDrains(t *testing.T) {
	inWorld(t, 3, nil, func(t *testing.T, w *world) {
		for _, name := range []string{"t", "leaderless", "elsewhere"} {
			w.create(name, 1, 3)
		}
		leads, other := w.leaderService("t", 0)
		w.elect("leaderless", 0, 0)
		w.elect("elsewhere", 0, other.id)
		pass(time.Second)
		w.with("t", 0, func(l *fakeLog) { l.held = true })
		pending := []func() *protocol.Response{
			leads.begin(t, t.Context(), produceReq("t", 0, batchOf(t, "a"))),
			leads.begin(t, t.Context(), pubReq("t", 0, "b")),
			leads.begin(t, t.Context(), pubReq("t", 0, "c")),
		}
		waiting := []func() *protocol.Response{
			leads.begin(t, t.Context(), fetchReq(t, "t", 0, protocol.FetchRequest{MaxWaitMs: 8000})),
			leads.begin(t, t.Context(), produceReq("leaderless", 0, batchOf(t, "a"))),
			leads.begin(t, t.Context(), fetchReq(t, "elsewhere", 0, protocol.FetchRequest{MaxWaitMs: 8000})),
		}
		pass(100 * time.Millisecond)
		closed := make(chan error)
		go func() { closed <- leads.Close(context.Background()) }()
		start := time.Now()
		for i, f := range waiting {
			if r := f(); r.Err == nil || r.Err.Outcome != protocol.NotWritten || time.Since(start) > 500*time.Millisecond {
				t.Errorf("waiting request %d after %v: %+v", i, time.Since(start), r)
			}
		}
		pass(time.Second)
		r := leads.do(t, produceReq("t", 0, batchOf(t, "x")))
		want(t, r, protocol.BrokerNotAvailable, protocol.NotWritten)
		if !strings.Contains(r.Err.Message, "stopping") {
			t.Error(r.Err)
		}
		if other.alive(leads.id) {
			t.Error("the broker has not said that it leaves")
		}
		if err := leads.Ready(); err == nil {
			t.Error("ready while closing")
		}
		w.release("t", 0)
		for _, f := range pending {
			want(t, f(), protocol.None, protocol.Done)
		}
		if err := <-closed; err != nil {
			t.Error(err)
		}
		if err := leads.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// Close with a context that is over does not wait: what waits is refused, and appends are answered when the host ends.
func TestCloseAbruptly(t *testing.T) {
	inWorld(t, 3, nil, func(t *testing.T, w *world) {
		w.create("t", 1, 3)
		leads, other := w.leaderService("t", 0)
		w.with("t", 0, func(l *fakeLog) { l.held = true })
		append1 := leads.begin(t, t.Context(), produceReq("t", 0, batchOf(t, "a")))
		fetch := leads.begin(t, t.Context(), fetchReq(t, "t", 0, protocol.FetchRequest{MaxWaitMs: 5000}))
		forwarded := other.begin(t, t.Context(), produceReq("t", 0, batchOf(t, "a")))
		lost := other.begin(t, t.Context(), produceReq("nosuch", 0, batchOf(t, "a")))
		create := other.begin(t, t.Context(), protocol.Request{Op: protocol.OpTopicCreate, Body: []byte(`{"name":"u","replicas":3}`)})
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		start := time.Now()
		for _, s := range []*Service{other, leads} {
			if err := s.Close(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("close: %v", err)
			}
		}
		if took := time.Since(start); took > 100*time.Millisecond {
			t.Errorf("close took %v", took)
		}
		want(t, fetch(), protocol.BrokerNotAvailable, protocol.NotWritten)
		want(t, forwarded(), protocol.RequestTimedOut, protocol.Unknown)
		if r := lost(); r.Err == nil || r.Err.Outcome != protocol.NotWritten {
			t.Errorf("%+v", r)
		}
		if r := create(); r.Err == nil {
			t.Logf("created in time: %s", r.Body)
		}
		w.release("t", 0)
		want(t, append1(), protocol.None, protocol.Done)
	})
}

// Registration is tried until it succeeds, through changes of controller and lost connections.
func TestRegistrationIsRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.closeAll()
		w.cut[[2]protocol.BrokerID{3, 1}] = true
		w.start(3, nil)
		pass(20 * time.Second)
		err := w.services[3].Ready()
		if err == nil || !strings.Contains(err.Error(), "not registered") {
			t.Errorf("ready: %v", err)
		}
		w.mu.Lock()
		delete(w.cut, [2]protocol.BrokerID{3, 1})
		w.mu.Unlock()
		w.ready()
	})
}

// A broker registers itself only.
func TestRegisterForAnother(t *testing.T) {
	inWorld(t, 2, nil, func(t *testing.T, w *world) {
		ask := func(body string) *protocol.Response {
			req := protocol.Request{Op: protocol.OpRegisterBroker, Hops: 1, Body: []byte(body)}
			done := make(chan []byte, 1)
			w.services[1].HandleForwarded(t.Context(), 2, req.AppendTo(nil), func(b []byte) { done <- b })
			r := new(protocol.Response)
			if err := r.Decode(<-done); err != nil {
				t.Fatal(err)
			}
			return r
		}
		want(t, ask(`{"id":1,"url":"nats://evil"}`), protocol.InvalidRequest, protocol.NotWritten)
		want(t, ask(`{"id":2}`), protocol.InvalidRequest, protocol.NotWritten)
		want(t, ask(`{`), protocol.InvalidRequest, protocol.NotWritten)
	})
}

// inject commits a record to the metadata, as a broker of another version might have.
func (w *world) inject(key, value string) {
	b := record.NewBuilder(builderOptions(record.None))
	if err := b.Append(record.Record{Key: []byte(key), Value: []byte(value)}); err != nil {
		w.t.Fatal(err)
	}
	batch, err := b.Seal(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	var log *fakeLog
	w.with(protocol.MetaTopic, 0, func(l *fakeLog) {
		l.pending = append(l.pending, &heldAppend{batch: batch, term: l.term})
		log = l
	})
	w.commit(log)
}

func TestMetadataOfOtherVersions(t *testing.T) {
	inWorld(t, 3, nil, func(t *testing.T, w *world) {
		w.inject("rename-topic", `{"level":1,"command":{}}`) // skipped alike everywhere
		w.inject("create-topic", `{`)
		w.create("t", 1, 3)
		w.inject("rename-topic", `{"level":99,"command":{}}`) // beyond what this build knows: it stops
		pass(time.Second)
		for b, s := range w.services {
			if err := s.Ready(); err == nil || !strings.Contains(err.Error(), "feature level 99") {
				t.Errorf("broker %d: %v", b, err)
			}
			want(t, s.do(t, produceReq("t", 0, batchOf(t, "a"))), protocol.None, protocol.Done) // what it has, it serves
		}
		e := w.services[2].adminOp(t, protocol.OpTopicCreate, protocol.CreateTopicRequest{Name: "u"}, nil)
		if e == nil || !strings.Contains(e.Message, "feature level 99") {
			t.Errorf("create: %v", e)
		}
	})
}

// Metadata that cannot be read stops the fold, and nothing is skipped; when it can be read again, all goes on.
func TestMetadataUnreadable(t *testing.T) {
	inWorld(t, 1, nil, func(t *testing.T, w *world) {
		s := w.services[1]
		w.create("t", 1, 1)
		w.with(protocol.MetaTopic, 0, func(l *fakeLog) { l.failed = protocol.Errorf(protocol.StorageError, "damaged"); l.wake() })
		pass(time.Second)
		if err := s.Ready(); err == nil || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("ready: %v", err)
		}
		want(t, s.do(t, produceReq("t", 0, batchOf(t, "a"))), protocol.None, protocol.Done)
		w.with(protocol.MetaTopic, 0, func(l *fakeLog) { l.failed = nil; l.wake() })
		w.ready()
		// A gap: the log begins after what is needed.
		w.with(protocol.MetaTopic, 0, func(l *fakeLog) { l.hw += 10; l.start = l.hw; l.wake() })
		pass(time.Second)
		if err := s.Ready(); err == nil || !strings.Contains(err.Error(), "known up to record") {
			t.Errorf("ready: %v", err)
		}
	})
}

func TestFoldRefusesGarbage(t *testing.T) {
	w := newWorld(t)
	s, err := New(Options{ID: 1, Host: fakeHost{w, 1}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(t.Context())
	for _, body := range [][]byte{[]byte("garbage"), append(batchOf(t, "x"), 1)} {
		if err := s.fold.apply(ReadResult{Batches: body, HighWatermark: 10}); err == nil {
			t.Errorf("%q is folded", body)
		}
	}
	key, value, err := meta.Encode(meta.ClusterInit{ClusterID: "c", FeatureLevel: 1})
	if err != nil {
		t.Fatal(err)
	}
	if r := s.fold.state.Apply(5, key, value); r.Err != nil {
		t.Error(r.Err)
	}
	if err := s.fold.apply(ReadResult{HighWatermark: 3}); protocol.CodeOf(err) != protocol.StorageError {
		t.Errorf("a log that is shorter than what was folded: %v", err)
	}
}

func TestRepliersAfterClose(t *testing.T) {
	var q repliers
	q.start(2)
	blocked, ran := make(chan struct{}), make(chan int, 3)
	q.put(func() { <-blocked; ran <- 1 })
	q.put(func() { ran <- 2 }) // not held up by the first
	if got := <-ran; got != 2 {
		t.Errorf("got %d", got)
	}
	close(blocked)
	q.close()
	q.close()
	q.put(func() { ran <- 3 })
	if a, b := <-ran, <-ran; a != 1 || b != 3 {
		t.Errorf("got %d, %d", a, b)
	}
	var ts tasks
	ts.close()
	if ts.start(func() { t.Error("run after close") }) {
		t.Error("started after close")
	}
}
