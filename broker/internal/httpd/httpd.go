package httpd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
)

// Options configure a Server. Listen and Ready are needed.
type Options struct {
	// Listen is HOST:PORT; port 0 takes a free one.
	Listen string
	// Ready returns why the broker does not serve, nil if it does.
	Ready func() error
	// Samples returns the metrics of this moment. Each name must always have the
	// same kind, help text and label names.
	Samples func() []Sample
	Logger  *slog.Logger // default: discard
}

// ListenError says that the port could not be opened.
type ListenError struct {
	Addr string
	Err  error
}

// Error names the address, the reason and the remedy.
func (e *ListenError) Error() string {
	return fmt.Sprintf("HTTP listener %s: %v: stop what holds the port, or choose another address", e.Addr, e.Err)
}

// Unwrap returns the system's error.
func (e *ListenError) Unwrap() error { return e.Err }

// Server is a running HTTP side.
type Server struct {
	srv      *http.Server
	listener net.Listener
	log      *slog.Logger
	ctx      context.Context // ends with the server: long profiles end too
	cancel   context.CancelFunc
	done     chan struct{}
	once     sync.Once
	err      error // of Close; set once
}

// Start listens and serves until Close.
func Start(o Options) (*Server, error) {
	if o.Ready == nil {
		return nil, errors.New("httpd: option Ready is missing")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{log: o.Logger, done: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	handler, err := s.routes(&o)
	if err != nil {
		s.cancel()
		return nil, err
	}
	l, err := net.Listen("tcp", o.Listen)
	if err != nil {
		s.cancel()
		return nil, &ListenError{Addr: o.Listen, Err: err}
	}
	s.listener = limit(l)
	s.srv = &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes,
		ErrorLog:       slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
	}
	go func() {
		defer close(s.done)
		if err := s.srv.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("the HTTP side has stopped: no health, no metrics", "error", err)
		}
	}()
	return s, nil
}

// Addr returns HOST:PORT of the listener.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// URL returns the base URL for clients on this machine.
func (s *Server) URL() string { return "http://" + s.Addr() }

// Close waits for running requests until ctx is done, and then cuts them off.
// Further calls return what the first returned.
func (s *Server) Close(ctx context.Context) error {
	s.once.Do(func() {
		s.cancel()
		if err := s.srv.Shutdown(ctx); err != nil {
			s.err = s.srv.Close()
		}
		<-s.done
	})
	return s.err
}

// limit bounds the connections that are open at a time.
func limit(l net.Listener) net.Listener {
	return &limited{Listener: l, slots: make(chan struct{}, maxConnections)}
}

type limited struct {
	net.Listener
	slots chan struct{}
}

// Accept hangs up on connections beyond the limit, so that they don't wait without
// an answer.
func (l *limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.slots <- struct{}{}:
			return &counted{Conn: c, free: sync.OnceFunc(func() { <-l.slots })}, nil
		default:
			_ = c.Close()
		}
	}
}

type counted struct {
	net.Conn
	free func()
}

// Close gives the slot back.
func (c *counted) Close() error {
	defer c.free()
	return c.Conn.Close()
}
