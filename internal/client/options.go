package client

import (
	"log/slog"
	"time"
)

// Options configure a Client. The zero value is ready to use.
type Options struct {
	// Logger gets connections made and lost, and leaders that change. Default: none.
	Logger *slog.Logger
	// MaxConns bounds the client's own connections. Requests for further brokers go through one that forwards. Default 64.
	MaxConns int
	// IdleTimeout is how long an unused connection is kept. Default 1 minute.
	IdleTimeout time.Duration
	// DialTimeout bounds one try to connect. Default 2 s.
	DialTimeout time.Duration
	// RedialPause is how long a broker that could not be reached is left alone. Default 250 ms.
	RedialPause time.Duration
	// ProbeAfter is how long a request waits until it asks whether its leader still leads. Default 1 s.
	ProbeAfter time.Duration
	// MetadataAge is how old metadata in use may grow before it is fetched again in the background. Default 1 minute.
	MetadataAge time.Duration
	// ReplyGrace is how much longer than the broker the client waits, so that the broker's typed answer wins. Default 500 ms.
	ReplyGrace time.Duration
	// Backoff is the pause between tries of Retry.
	Backoff Backoff
}

const (
	// askTimeout bounds the wait for one broker's metadata.
	askTimeout = 2 * time.Second
	// refreshTimeout bounds one round of asking for metadata.
	refreshTimeout = 6 * time.Second
	// pingInterval and pingsMissed find a connection whose other end is gone without a word.
	pingInterval = 5 * time.Second
	pingsMissed  = 2
	// flushTimeout bounds a write to a broker that does not read.
	flushTimeout = 5 * time.Second
	// suspectFor is how long a broker that did not answer is asked last.
	suspectFor = 5 * time.Second
	// mostTimeouts in a row end a connection of the client's own.
	mostTimeouts = 2
)

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MaxConns <= 0 {
		o.MaxConns = 64
	}
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&o.IdleTimeout, time.Minute}, {&o.DialTimeout, 2 * time.Second}, {&o.RedialPause, 250 * time.Millisecond},
		{&o.ProbeAfter, time.Second}, {&o.MetadataAge, time.Minute}, {&o.ReplyGrace, 500 * time.Millisecond},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	return o
}
