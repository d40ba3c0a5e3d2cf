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

// Handler carries out requests. It owns req; reply is called exactly once, from
// any goroutine.
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
	Logger   *slog.Logger // default: discard
}

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
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if port == 0 {
		port = -1 // the server's word for a free one
	}
	return host, port, errors.Join(errs...)
}
