package client

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/logq/logq/internal/protocol"
)

// link is one connection with the requests under way on it. All replies come in on one subscription and are told apart by
// the last token of their subject.
type link struct {
	nc     *nats.Conn
	url    string // "" for the seed
	prefix string // of reply subjects
	sub    *nats.Subscription
	start  func(func()) bool // runs a goroutine of the client

	up       atomic.Bool  // requests may be sent
	used     atomic.Int64 // when last, in nanoseconds of Unix time
	suspect  atomic.Int64 // until when it is asked last, likewise
	timeouts atomic.Int64 // requests in a row without an answer

	mu      sync.Mutex
	waiting map[string]*waiter // guarded by mu; by token
	seq     uint64             // guarded by mu
}

// waiter is a request that waits for its reply.
type waiter struct {
	req     *Request
	subject string
	token   string
	answer  chan answer // has room for the one answer
}

type answer struct {
	msg *nats.Msg
	err *Error
}

// newLink subscribes to the replies on nc.
func newLink(nc *nats.Conn, url string, start func(func()) bool) (*link, error) {
	l := &link{nc: nc, url: url, prefix: nc.NewInbox() + ".", start: start, waiting: map[string]*waiter{}}
	sub, err := nc.Subscribe(l.prefix+"*", l.receive)
	if err != nil {
		return nil, fmt.Errorf("subscribe to replies: %w", err)
	}
	// What can be pending is bounded by what was asked for, and the handler never blocks.
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return nil, fmt.Errorf("subscribe to replies: %w", err)
	}
	l.sub = sub
	l.up.Store(true)
	l.used.Store(time.Now().UnixNano())
	return l, nil
}

func (l *link) receive(m *nats.Msg) {
	l.timeouts.Store(0)
	l.suspect.Store(0)
	if w := l.take(strings.TrimPrefix(m.Subject, l.prefix)); w != nil {
		w.answer <- answer{msg: m}
	}
}

// take removes a waiter; who gets it answers it.
func (l *link) take(token string) *waiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.waiting[token]
	delete(l.waiting, token)
	return w
}

// send publishes a request. The error says whether it may have been sent all the same.
func (l *link) send(r *Request, subject string, header nats.Header) (*waiter, *Error) {
	w := &waiter{req: r, subject: subject, answer: make(chan answer, 1)}
	l.mu.Lock()
	if !l.up.Load() {
		l.mu.Unlock()
		return nil, r.unsent(fmt.Errorf("the connection to %s is down", l.name()))
	}
	l.seq++
	w.token = strconv.FormatUint(l.seq, 36)
	l.waiting[w.token] = w
	l.mu.Unlock()
	l.used.Store(time.Now().UnixNano())
	err := l.nc.PublishMsg(&nats.Msg{Subject: subject, Reply: l.prefix + w.token, Header: header, Data: r.Body})
	if err == nil {
		return w, nil
	}
	l.take(w.token)
	e := r.publishError(err)
	if e.Outcome == protocol.Unknown {
		l.drop(err) // half a message may be on the wire
	}
	return nil, e
}

// forget gives up a waiter for lack of an answer.
func (l *link) forget(w *waiter) {
	l.take(w.token)
	l.suspect.Store(time.Now().Add(suspectFor).UnixNano())
	if l.timeouts.Add(1) >= mostTimeouts {
		l.drop(errTimeout)
	}
}

// drop closes a connection of the client's own that is of no use any more. Closing flushes, which may block for a while
// when the other end does not read, so it does not hold the caller up unless the client is closing.
func (l *link) drop(err error) {
	if l.url == "" {
		return
	}
	l.fail(err)
	if !l.start(l.nc.Close) {
		l.nc.Close()
	}
}

// fail ends all requests under way: they were sent, and no answer will come.
func (l *link) fail(err error) {
	l.mu.Lock()
	l.up.Store(false)
	lost := l.waiting
	l.waiting = map[string]*waiter{}
	l.mu.Unlock()
	if err == nil {
		err = errDisconnected
	}
	for _, w := range lost {
		w.answer <- answer{err: w.req.lost(fmt.Errorf("broker at %s: %w", l.name(), err))}
	}
}

// idle reports whether nothing is under way and nothing was for a while.
func (l *link) idle(now time.Time, d time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiting) == 0 && now.Sub(time.Unix(0, l.used.Load())) > d
}

func (l *link) doubtful(now time.Time) bool { return now.UnixNano() < l.suspect.Load() }

// name is how the connection is called in messages; it shows no credentials.
func (l *link) name() string {
	if l.url == "" {
		if at := l.nc.ConnectedUrlRedacted(); at != "" {
			return at
		}
		return "the seed"
	}
	return l.url
}

var deniedSubject = regexp.MustCompile(`(?i)permissions violation for (publish|subscription) to "([^"]+)"`)

// asyncError takes what the server reports beside replies. A denied publish ends the requests on that subject, which
// would otherwise wait for nothing; anything else leaves the connection in a state that nobody knows.
func (l *link) asyncError(err error) {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		l.drop(err)
		return
	}
	m := deniedSubject.FindStringSubmatch(err.Error())
	if m == nil {
		return
	}
	if strings.EqualFold(m[1], "subscription") {
		l.drop(fmt.Errorf("%w: the user must be allowed to subscribe to its inbox; see nats.CustomInboxPrefix", err))
		return
	}
	for _, w := range l.takeSubject(m[2]) {
		w.answer <- answer{err: w.req.fail(protocol.TopicAuthorizationFailed, err)}
	}
}

func (l *link) takeSubject(subject string) []*waiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []*waiter
	for token, w := range l.waiting {
		if strings.EqualFold(w.subject, subject) { // nats.go folds the case of some errors
			found = append(found, w)
			delete(l.waiting, token)
		}
	}
	return found
}
