package natsplane

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"

	"github.com/logq/logq/internal/protocol"
)

// Handler carries out requests. It owns req, with all that is in it, and must not
// block; reply is called exactly once, from any goroutine. ctx ends with the plane.
type Handler interface {
	Handle(ctx context.Context, req *protocol.Request, reply func(*protocol.Response))
}

// Binding stores the messages of a subject, which may hold wildcards, in a topic.
type Binding struct{ Subject, Topic string }

// Options configure a Plane. Listen and Handler are needed.
type Options struct {
	// Listen is HOST:PORT of the client listener; port 0 takes a free one.
	Listen string
	// Name is the server's name, shown to clients.
	Name    string
	Version string // of the micro service, semantic
	Handler Handler
	TLS     *tls.Config // nil: plain
	// Metadata is shown by service discovery.
	Metadata map[string]string
	// MaxRequests bounds the requests under way; default 64 Ki. Their bytes are
	// bounded by the service, which knows what they are for.
	MaxRequests int
	// MaxPendingBytes is what the server buffers for one connection that is read
	// slowly before it cuts it off; default and least sensible value 64 MiB, which
	// is eight of the largest messages.
	MaxPendingBytes int64
	Logger          *slog.Logger // default: discard
}

// check reports all faults at once.
func (o *Options) check() (host string, port int, err error) {
	var errs []error
	host, text, err := net.SplitHostPort(o.Listen)
	if err == nil {
		port, err = strconv.Atoi(text)
	}
	if err != nil || port < 0 || port > 65535 {
		errs = append(errs, fmt.Errorf("client listener %q is not HOST:PORT", o.Listen))
	}
	if o.Handler == nil {
		errs = append(errs, errors.New("option Handler is missing"))
	}
	if o.MaxRequests < 0 || o.MaxPendingBytes < 0 {
		errs = append(errs, fmt.Errorf("limits %d and %d must not be negative", o.MaxRequests, o.MaxPendingBytes))
	}
	if o.MaxRequests == 0 {
		o.MaxRequests = defaultMaxRequests
	}
	if o.MaxPendingBytes == 0 {
		o.MaxPendingBytes = defaultMaxPendingBytes
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if port == 0 {
		port = -1 // the server's word for a free one
	}
	return host, port, errors.Join(errs...)
}

// ListenError says that the client listener could not be opened.
type ListenError struct{ Addr, Reason string }

// Error names the address, the reason and the remedy.
func (e *ListenError) Error() string {
	return fmt.Sprintf("client listener %s: %s: stop what holds the port, or choose another address", e.Addr, e.Reason)
}
