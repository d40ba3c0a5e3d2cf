package producer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logq/logq/internal/client"
	"github.com/logq/logq/internal/protocol"
)

// history is what a run handed over and was told.
type history struct {
	mu     sync.Mutex
	sent   map[int32][]*entry // guarded by mu; by partition, in the order of the calls
	called map[int32]int      // guarded by mu; callbacks so far
}

func newHistory() *history { return &history{sent: map[int32][]*entry{}, called: map[int32]int{}} }

type entry struct {
	value string
	calls int
	ack   Ack
	err   error
	order int // of the callback in its partition
}

// TestRandomFaults runs producers against random scripts of faults, with everything else drawn too, and holds what they
// were told against the logs.
func TestRandomFaults(t *testing.T) {
	runs := 80
	if testing.Short() {
		runs = 30
	}
	for seed := range uint64(runs) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { randomRun(t, seed) })
		})
	}
}

// randomFates draws what becomes of requests.
func randomFates(rng *rand.Rand) func(*client.Request, int) fate {
	var mu sync.Mutex
	trouble := rng.Float64() * 0.7
	return func(*client.Request, int) fate {
		mu.Lock()
		defer mu.Unlock()
		ms := func(n int) time.Duration { return time.Duration(rng.IntN(n)) * time.Millisecond }
		f := fate{before: ms(20), after: ms(20)}
		if rng.Float64() > trouble {
			return f
		}
		switch rng.IntN(8) {
		case 0:
			f.skip, f.err = true, protocol.Errorf(protocol.NotLeaderOrFollower, "moved")
		case 1:
			f.skip, f.err = true, protocol.Errorf(protocol.NotEnoughReplicas, "alone")
		case 2:
			f.skip, f.silent = true, true // the request is lost
		case 3:
			f.silent = true // the answer is lost
		case 4:
			f.err = protocol.Errorf(protocol.NotEnoughReplicasAfterAppend, "who knows")
		case 5:
			f.skip, f.err = true, protocol.Errorf(protocol.InvalidRecord, "never")
		case 6:
			f.skip, f.silent, f.ghost = true, true, ms(5000)+1 // it arrives late
		case 7:
			f.before = ms(60_000) // the leader hangs
		}
		return f
	}
}

func randomRun(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 7))
	m := newModel(t, 1+rng.IntN(3))
	m.script = randomFates(rand.New(rand.NewPCG(seed, 8)))
	retry := rng.IntN(2) == 0
	p := m.producer(
		WithBatchBytes(smallestBatch+rng.IntN(4<<10)), WithBufferBytes(1<<20), WithRetryUnknown(retry),
		WithLinger(time.Duration(rng.IntN(3)*10)*time.Millisecond), WithRequestTimeout(time.Duration(1+rng.IntN(5))*time.Second),
		WithDeliveryTimeout(time.Duration(1+rng.IntN(60))*time.Second),
	)
	p.budget.limit = int64(4<<10 + rng.IntN(100<<10)) // less than New allows, so that it fills
	h := newHistory()
	var wg sync.WaitGroup
	for i := range m.parts {
		rng := rand.New(rand.NewPCG(seed, 100+uint64(i)))
		wg.Go(func() { h.produce(t, p, int32(i), rng) })
	}
	if rng.IntN(3) == 0 {
		rng := rand.New(rand.NewPCG(seed, 9))
		wg.Go(func() {
			for range 5 {
				_ = client.Pause(t.Context(), time.Duration(rng.IntN(20_000))*time.Millisecond)
				if err := p.Flush(t.Context()); err != nil {
					t.Errorf("flush: %v", err)
				}
			}
		})
	}
	early := rng.IntN(3) == 0
	if !early {
		wg.Wait()
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rng.IntN(200))*time.Second)
	defer cancel()
	closeErr := p.Close(ctx)
	wg.Wait()
	_ = client.Pause(t.Context(), 10*time.Minute) // what is late arrives
	h.check(t, m, retry)
	if closeErr != nil && !errors.Is(closeErr, context.DeadlineExceeded) {
		t.Errorf("close: %v", closeErr)
	}
	if used := p.budget.used.Load(); used != 0 {
		t.Errorf("%d bytes of the buffer are left in use", used)
	}
	h.checkStats(t, p.Stats())
}

// produce hands over records of one partition, from one goroutine.
func (h *history) produce(t *testing.T, p *Producer, part int32, rng *rand.Rand) {
	for i := range 50 + rng.IntN(300) {
		if rng.IntN(20) == 0 {
			_ = client.Pause(t.Context(), time.Duration(rng.IntN(300))*time.Millisecond)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+rng.IntN(2000))*time.Millisecond)
		e := &entry{value: fmt.Sprintf("%d/%d/%s", part, i, strings.Repeat("x", rng.IntN(2000)))}
		h.sentOne(part, e)
		err := p.ProduceAsync(ctx, Record{Topic: "t", Partition: part, Value: []byte(e.value)}, h.callback(part, e))
		cancel()
		if err != nil {
			h.mu.Lock()
			e.calls, e.err, e.order = e.calls+1, err, -1
			h.mu.Unlock()
			if protocol.OutcomeOf(err) != protocol.NotWritten {
				t.Errorf("a record that was not taken: %v", err)
			}
		}
	}
}

// sentOne notes a record before it is handed over.
func (h *history) sentOne(part int32, e *entry) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sent[part] = append(h.sent[part], e)
}

// callback notes what is told about a record.
func (h *history) callback(part int32, e *entry) func(Ack, error) {
	return func(a Ack, err error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.called[part]++
		e.calls++
		e.ack, e.err, e.order = a, err, h.called[part]
	}
}

func (h *history) check(t *testing.T, m *model, retry bool) {
	for part := range h.sent {
		h.checkPartition(t, part, m.log(protocol.Partition(part)), retry)
	}
}

// checkPartition holds what was told about a partition against its log.
func (h *history) checkPartition(t *testing.T, part int32, log []string, retry bool) {
	t.Helper()
	sent := h.sent[part]
	at := map[string][]int64{}
	for offset, v := range log {
		at[v] = append(at[v], int64(offset))
	}
	known := map[string]bool{}
	lastOffset, lastOrder := int64(-1), 0
	for _, e := range sent {
		known[e.value] = true
		where := at[e.value]
		if e.calls != 1 {
			t.Errorf("%.12s: %d answers", e.value, e.calls)
		}
		if e.order >= 0 {
			if e.order <= lastOrder && lastOrder > 0 {
				t.Errorf("%.12s: called back before its predecessor", e.value)
			}
			lastOrder = e.order
		}
		var typed *Error
		switch {
		case e.err == nil:
			if e.ack.Offset <= lastOffset {
				t.Errorf("%.12s: acknowledged at %d, its predecessor at %d", e.value, e.ack.Offset, lastOffset)
			}
			lastOffset = e.ack.Offset
			if e.ack.Offset >= int64(len(log)) || log[e.ack.Offset] != e.value {
				t.Errorf("%.12s: acknowledged at %d, and not there", e.value, e.ack.Offset)
			}
			if len(where) > 1 && !e.ack.MaybeDuplicate {
				t.Errorf("%.12s: stored at %v, and nobody said so", e.value, where)
			}
			if e.ack.MaybeDuplicate && !retry {
				t.Errorf("%.12s: sent again after an unknown outcome", e.value)
			}
		case !errors.As(e.err, &typed):
			t.Errorf("%.12s: an error without type: %v", e.value, e.err)
		case typed.Outcome == NotWritten && len(where) > 0:
			t.Errorf("%.12s: reported as not written, stored at %v: %v", e.value, where, e.err)
		case typed.Outcome == Unknown && !retry && len(where) > 1:
			t.Errorf("%.12s: stored twice, without being sent again", e.value)
		}
	}
	for v := range at {
		if !known[v] {
			t.Errorf("%.12s is stored and was never sent", v)
		}
	}
}

// checkStats compares the counts with what was told.
func (h *history) checkStats(t *testing.T, s Stats) {
	var acked, duplicate, notWritten, unknown uint64
	for _, sent := range h.sent {
		for _, e := range sent {
			switch {
			case e.order < 0: // never taken
			case e.err == nil:
				acked++
				if e.ack.MaybeDuplicate {
					duplicate++
				}
			case protocol.OutcomeOf(e.err) == protocol.NotWritten:
				notWritten++
			default:
				unknown++
			}
		}
	}
	if s.Acked != acked || s.MaybeDuplicate != duplicate || s.NotWritten != notWritten || s.Unknown != unknown {
		t.Errorf("stats %+v; told %d acked, %d of them maybe twice, %d not written, %d unknown", s, acked, duplicate, notWritten, unknown)
	}
}
