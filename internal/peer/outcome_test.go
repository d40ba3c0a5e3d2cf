package peer_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logq/logq/internal/peer"
)

// quiet are options without keep-alives in the time that a test takes.
func quiet() peer.Options {
	return peer.Options{Ping: time.Hour, Silence: 3 * time.Hour, RequestTimeout: 10 * time.Hour}
}

func wantUnsent(t *testing.T, err error) {
	t.Helper()
	var unsent *peer.UnsentError
	if !errors.As(err, &unsent) || !unsent.Unsent() || unsent.To == 0 || errors.Unwrap(unsent) == nil {
		t.Errorf("got %v, want unsent", err)
	}
}

func wantUnknown(t *testing.T, err error) {
	t.Helper()
	var unknown *peer.UnknownOutcomeError
	if !errors.As(err, &unknown) || unknown.To == 0 || errors.Unwrap(unknown) == nil || peer.IsUnsent(err) {
		t.Errorf("got %v, want unknown", err)
	}
}

type answer struct {
	body []byte
	err  error
}

func ask(tr *peer.Transport, ctx context.Context, body []byte) chan answer {
	ch := make(chan answer, 1)
	go func() {
		got, err := tr.Request(ctx, 2, body)
		ch <- answer{got, err}
	}()
	return ch
}

// TestRequestCutAtEveryByte ends the connection after every byte of a request:
// one that did not arrive as a whole is unsent, one that did is unknown.
func TestRequestCutAtEveryByte(t *testing.T) {
	for _, body := range [][]byte{bytes.Repeat([]byte("x"), 10), bytes.Repeat([]byte("x"), 3000)} {
		whole := peer.FrameHeader + peer.RequestHead + len(body)
		step := 1
		if whole > 100 {
			step = 97
		}
		for k := 0; k <= whole; k += step {
			if k+step > whole {
				k = whole
			}
			synctest.Test(t, func(t *testing.T) {
				tr, f := against(t, quiet())
				control, bulk := f.accept()
				synctest.Wait()
				reply := ask(tr, t.Context(), body)
				if _, err := io.ReadFull(bulk, make([]byte, k)); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				bulk.Close()
				got := <-reply
				if k < whole {
					wantUnsent(t, got.err)
				} else {
					wantUnknown(t, got.err)
				}
				if t.Failed() {
					t.Fatalf("cut after %d of %d bytes", k, whole)
				}
				abrupt(t, tr)
				control.Close()
			})
		}
	}
}

// TestRequestAmongOthers: the connection ends in the frame after the request, in
// the same system call: the request had arrived.
func TestRequestAmongOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr, f := against(t, quiet())
		control, bulk := f.accept()
		synctest.Wait()
		if !tr.Send(2, appendMessage(0), [][]byte{{1}}) { // the writer is stuck with this one
			t.Fatal("dropped")
		}
		synctest.Wait()
		reply := ask(tr, t.Context(), []byte("in the middle"))
		synctest.Wait()
		late := make(chan answer, 1)
		if !tr.Send(2, appendMessage(1), [][]byte{make([]byte, 100)}) {
			t.Fatal("dropped")
		}
		go func() { late <- <-ask(tr, t.Context(), []byte("behind")) }()
		synctest.Wait()
		fr := peer.NewFrameReader(io.LimitReader(bulk, 2*peer.FrameHeader+60+peer.RequestHead+13+30), 1<<20)
		for range 2 {
			if _, _, _, err := fr.Next(); err != nil {
				t.Fatal(err)
			}
		}
		bulk.Close()
		wantUnknown(t, (<-reply).err)
		wantUnsent(t, (<-late).err)
		abrupt(t, tr)
		control.Close()
	})
}

// TestReplyCutAtEveryByte ends the connection after every byte of the reply.
func TestReplyCutAtEveryByte(t *testing.T) {
	const text = "the answer"
	whole := peer.FrameHeader + 8 + len(text)
	for k := 0; k <= whole; k++ {
		synctest.Test(t, func(t *testing.T) {
			tr, f := against(t, quiet())
			control, bulk := f.accept()
			synctest.Wait()
			reply := ask(tr, t.Context(), []byte("question"))
			_, head, _, err := peer.NewFrameReader(bulk, 1<<20).Next()
			if err != nil {
				t.Fatal(err)
			}
			wire := peer.AppendFrame(nil, peer.FrameReply, append(head[:8:8], text...), nil)
			if _, err := bulk.Write(wire[:k]); err != nil {
				t.Fatal(err)
			}
			bulk.Close()
			got := <-reply
			if k < whole {
				wantUnknown(t, got.err)
			} else if got.err != nil || string(got.body) != text {
				t.Fatalf("%q, %v", got.body, got.err)
			}
			abrupt(t, tr)
			control.Close()
		})
	}
}

// TestRequestCalledOff: what waits behind another in the queue is unsent, what
// is being written is unknown.
func TestRequestCalledOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr, f := against(t, quiet())
		control, bulk := f.accept()
		synctest.Wait()
		ctx1, cancel1 := context.WithCancel(t.Context())
		ctx2, cancel2 := context.WithTimeout(t.Context(), time.Minute)
		defer cancel2()
		first := ask(tr, ctx1, []byte("first")) // nobody reads: it is being written
		synctest.Wait()
		second := ask(tr, ctx2, []byte("second"))
		synctest.Wait()
		third := ask(tr, t.Context(), []byte("third"))
		got := <-second
		wantUnsent(t, got.err)
		if !errors.Is(got.err, context.DeadlineExceeded) {
			t.Errorf("cause %v", got.err)
		}
		cancel1()
		got = <-first
		wantUnknown(t, got.err)
		// The one that was called off is never sent: the next frame is the third.
		fr := peer.NewFrameReader(bulk, 1<<20)
		for _, want := range []string{"first", "third"} {
			_, head, _, err := fr.Next()
			if err != nil || string(head[peer.RequestHead:]) != want {
				t.Fatalf("read %q, %v, want %q", head, err, want)
			}
			if want == "third" {
				wire := peer.AppendFrame(nil, peer.FrameReply, append(head[:8:8], "done"...), nil)
				go func() { _, _ = bulk.Write(wire) }()
			}
		}
		if got := <-third; got.err != nil || string(got.body) != "done" {
			t.Errorf("third: %q, %v", got.body, got.err)
		}
		abrupt(t, tr)
		control.Close()
		bulk.Close()
	})
}

// TestRequestLimits: too many, too many bytes, too large a body, no connection,
// no such peer, a refusal, a closed transport: all unsent.
func TestRequestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := quiet()
		o.MaxRequests, o.MaxRequestBytes, o.MaxFrameBytes = 2, 4096, 8192
		tr, f := against(t, o)
		_, err := tr.Request(t.Context(), 2, nil)
		wantUnsent(t, err)
		control, bulk := f.accept()
		synctest.Wait()
		_, err = tr.Request(t.Context(), 9, nil)
		wantUnsent(t, err)
		_, err = tr.Request(t.Context(), 2, make([]byte, 8192))
		wantUnsent(t, err)
		done, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = tr.Request(done, 2, nil)
		wantUnsent(t, err)

		one := ask(tr, t.Context(), make([]byte, 3000))
		synctest.Wait()
		_, err = tr.Request(t.Context(), 2, make([]byte, 3000))
		wantUnsent(t, err) // too many bytes
		two := ask(tr, t.Context(), make([]byte, 10))
		synctest.Wait()
		_, err = tr.Request(t.Context(), 2, nil)
		wantUnsent(t, err) // too many

		fr := peer.NewFrameReader(bulk, 1<<20)
		for range 2 {
			_, head, _, err := fr.Next()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := bulk.Write(peer.AppendFrame(nil, peer.FrameRefused, head[:8:8], nil)); err != nil {
				t.Fatal(err)
			}
		}
		wantUnsent(t, (<-one).err)
		wantUnsent(t, (<-two).err)

		// A reply that nobody waits for is no harm.
		unasked := peer.AppendFrame(nil, peer.FrameReply, binary.LittleEndian.AppendUint64(nil, 99), nil)
		if _, err := bulk.Write(unasked); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if !tr.Connected(2) {
			t.Error("an unasked reply cut the connection")
		}
		abrupt(t, tr)
		_, err = tr.Request(t.Context(), 2, nil)
		wantUnsent(t, err)
		if !errors.Is(err, peer.ErrClosed) {
			t.Errorf("cause %v", err)
		}
		control.Close()
		bulk.Close()
	})
}

// TestAnswering plays the asking side: deadline, refusal beyond the limit, a
// second reply, the end of the connection, a reply that does not fit.
func TestAnswering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type call struct {
			ctx   context.Context
			body  string
			reply func([]byte)
		}
		calls := make(chan call, 10)
		r := newRecorder()
		r.serve = func(ctx context.Context, body []byte, reply func([]byte)) {
			calls <- call{ctx, string(body), reply}
		}
		o := quiet()
		o.Handler, o.MaxRequests, o.MaxFrameBytes = r, 2, 1000
		tr, f := against(t, o)
		bulk := f.call(2)
		fr := peer.NewFrameReader(bulk, 1<<20)
		request := func(id uint64, ms uint32, body string) {
			head := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint64(nil, id), ms)
			if _, err := bulk.Write(peer.AppendFrame(nil, peer.FrameRequest, append(head, body...), nil)); err != nil {
				t.Fatal(err)
			}
		}
		expect := func(typ uint8, id uint64, body string) {
			t.Helper()
			got, head, _, err := fr.Next()
			if err != nil || got != typ || binary.LittleEndian.Uint64(head) != id || string(head[8:]) != body {
				t.Fatalf("got type %d, %q, %v, want type %d, request %d, %q", got, head, err, typ, id, body)
			}
		}
		request(1, 1500, "one")
		request(2, 60_000, "two")
		request(3, 60_000, "three")
		expect(peer.FrameRefused, 3, "")
		one, two := <-calls, <-calls
		start := time.Now()
		<-one.ctx.Done()
		if d := time.Since(start); d > 1500*time.Millisecond || one.body != "one" {
			t.Errorf("the deadline came after %v", d)
		}
		one.reply([]byte("late"))
		one.reply([]byte("again")) // only the first counts
		expect(peer.FrameReply, 1, "late")
		request(4, 60_000, "four")
		four := <-calls
		two.reply(nil)
		expect(peer.FrameReply, 2, "")
		if two.ctx.Err() == nil {
			t.Error("the context outlives the reply")
		}
		four.reply(make([]byte, 1000)) // does not fit a frame: the asker must learn that it is lost
		if _, _, _, err := fr.Next(); err == nil {
			t.Error("the connection is still there")
		}
		<-four.ctx.Done()
		abrupt(t, tr)
	})
}

// TestSlowReaderOfReplies: replies that pile up end the connection; memory is
// bounded and nobody waits for ever.
func TestSlowReaderOfReplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		r.serve = func(_ context.Context, body []byte, reply func([]byte)) { reply(make([]byte, 1<<10)) }
		o := quiet()
		o.Handler, o.BulkQueueBytes = r, 4<<10
		tr, f := against(t, o)
		bulk := f.call(2)
		var err error
		for id := uint64(1); id < 20 && err == nil; id++ {
			head := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint64(nil, id), 1000)
			_, err = bulk.Write(peer.AppendFrame(nil, peer.FrameRequest, head, nil))
			synctest.Wait()
		}
		if !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("20 requests, no reply read: %v", err)
		}
		abrupt(t, tr)
	})
}

// TestReplaced: a second connection of the same peer and class ends the first.
func TestReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		o := quiet()
		o.Handler = r
		tr, f := against(t, o)
		old, other := f.call(1), f.call(2)
		synctest.Wait()
		fresh := f.call(1)
		synctest.Wait()
		if _, err := old.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("the first connection: %v", err)
		}
		for _, c := range []net.Conn{fresh, other} {
			if _, err := c.Write(peer.AppendFrame(nil, peer.FrameGossip, []byte("here"), nil)); err != nil {
				t.Fatal(err)
			}
			if got := <-r.gossip; string(got) != "here" {
				t.Errorf("gossip %q", got)
			}
		}
		abrupt(t, tr)
	})
}
