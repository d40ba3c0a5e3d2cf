package peer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logq/logq/internal/peer"
	"github.com/logq/logq/internal/protocol"
)

// twoOf starts brokers 1 and 2 against each other.
func twoOf(t *testing.T, one, two peer.Options) (*pipes, *peer.Transport, *peer.Transport) {
	t.Helper()
	n := newPipes()
	start := func(self, other protocol.BrokerID, o peer.Options) *peer.Transport {
		o.Self, o.Peers, o.Listener, o.Dial = self, map[protocol.BrokerID]string{other: fmt.Sprint(other)}, n.listen(fmt.Sprint(self)), n.dial
		o.Handler = newRecorder()
		tr, err := peer.New(o)
		if err != nil {
			t.Fatal(err)
		}
		tr.Start()
		return tr
	}
	return n, start(1, 2, one), start(2, 1, two)
}

// TestFenced: a broker whose data directory is judged to be none of the cluster's
// gets through to nobody, and is told so. The other direction stays.
func TestFenced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := quiet(), quiet()
		var told atomic.Pointer[string]
		var seen atomic.Pointer[peer.Introduction]
		one.Judge = func(from protocol.BrokerID, who peer.Introduction) string {
			seen.Store(&who)
			if from == 2 && who.Generation < 7 {
				return "an old copy; join anew"
			}
			return ""
		}
		who := peer.Introduction{Directory: "d2", Incarnation: 5, Generation: 6}
		two.Introduce = func() peer.Introduction { return who }
		two.OnFenced = func(by protocol.BrokerID, reason string) {
			if by == 1 {
				told.Store(&reason)
			}
		}
		_, a, b := twoOf(t, one, two)
		synctest.Wait()
		if r := told.Load(); r == nil || *r != "an old copy; join anew" {
			t.Error("broker 2 isn't told")
		}
		if s := seen.Load(); s == nil || *s != who {
			t.Errorf("introduced as %+v", s)
		}
		if b.Connected(1) || !a.Connected(2) {
			t.Errorf("2 to 1: %v, 1 to 2: %v", b.Connected(1), a.Connected(2))
		}
		abrupt(t, a)
		abrupt(t, b)
	})
}

// TestAsk: a broker that is no peer asks a question and gets the answer.
func TestAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := quiet()
		o.HandshakeTimeout = 3 * time.Second
		o.Answer = func(ctx context.Context, from protocol.BrokerID, who peer.Introduction, body []byte) []byte {
			if string(body) == "wait" {
				<-ctx.Done()
			}
			return fmt.Appendf(nil, "%d %s %d %s", from, who.Directory, who.Generation, body)
		}
		n, a, b := twoOf(t, o, quiet())
		asker := peer.Asker{Self: 9, Who: peer.Introduction{Directory: "d9", Generation: 3}, ClusterID: "any", Dial: n.dial}
		got, err := asker.Ask(t.Context(), "1", []byte("hello"))
		if err != nil || string(got) != "9 d9 3 hello" {
			t.Errorf("%q, %v", got, err)
		}
		start := time.Now()
		if got, err := asker.Ask(t.Context(), "1", []byte("wait")); err == nil || time.Since(start) > 4*time.Second {
			t.Errorf("an answer after the time is over: %q after %v", got, time.Since(start))
		}
		var refused *peer.GreetingError
		if _, err := asker.Ask(t.Context(), "2", nil); !errors.As(err, &refused) {
			t.Errorf("who takes no questions: %v", err)
		}
		if _, err := asker.Ask(t.Context(), "nobody", nil); err == nil || !strings.Contains(err.Error(), "dial") {
			t.Errorf("nobody there: %v", err)
		}
		if _, err := asker.Ask(t.Context(), "1", make([]byte, peer.MaxQuestion+1)); err == nil {
			t.Error("too long a question")
		}
		self := asker
		self.Self = 1
		if _, err := self.Ask(t.Context(), "1", nil); !errors.As(err, &refused) || !strings.Contains(refused.Reason, "themselves 1") {
			t.Errorf("the same number: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		silent := n.listen("silent")
		go func() {
			if c, err := silent.Accept(); err == nil {
				<-ctx.Done()
				_ = c.Close()
			}
		}()
		if _, err := asker.Ask(ctx, "silent", nil); err == nil {
			t.Error("an answer of nobody")
		}
		abrupt(t, a)
		abrupt(t, b)
	})
}
