package natsplane

import (
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// startServer starts the embedded server and returns the secret of the
// in-process users.
func startServer(o *Options) (*server.Server, string, error) {
	host, port, err := o.check()
	if err != nil {
		return nil, "", err
	}
	so, secret, err := serverOptions(o, host, port)
	if err != nil {
		return nil, "", err
	}
	s, err := server.NewServer(so)
	if err != nil {
		return nil, "", fmt.Errorf("make the NATS server: %w", err)
	}
	l := &serverLog{log: o.Logger}
	s.SetLoggerV2(l, false, false, false)
	s.Start()
	if err := ready(s, l); err != nil {
		s.Shutdown()
		s.WaitForShutdown()
		return nil, "", &ListenError{Addr: o.Listen, Reason: err.Error()}
	}
	return s, secret, nil
}

func serverOptions(o *Options, host string, port int) (*server.Options, string, error) {
	secret := rand.Text()
	config, err := serverConfig(secret, rand.Text())
	if err != nil {
		return nil, "", err
	}
	so := &server.Options{}
	if err := so.ProcessConfigString(config); err != nil {
		return nil, "", fmt.Errorf("configure the NATS server: %w", err)
	}
	so.ServerName, so.Host, so.Port = o.Name, host, port
	so.NoSigs, so.NoLog = true, false
	so.NoSystemAccount = true // nobody could enter it
	so.MaxPayload, so.MaxPending = MaxPayloadBytes, o.MaxPendingBytes
	so.MaxConn, so.MaxSubs = maxConnections, maxSubscriptions
	// A connection that is three quarters full gets no more: a request that the
	// broker can't take is answered with "no responders", and a client that doesn't
	// read its replies loses them. Otherwise the server would hold up whoever sends
	// to such a connection, which is every client here, and then cut it off.
	so.NoFastProducerStall = true
	so.WriteDeadline = writeDeadline
	if o.TLS != nil {
		so.TLSConfig, so.TLS = o.TLS, true
		so.TLSTimeout = readyTimeout.Seconds()
	}
	return so, secret, nil
}

// ready waits until the server listens, or has said why it can't.
func ready(s *server.Server, l *serverLog) error {
	for start := time.Now(); time.Since(start) < readyTimeout; {
		if s.ReadyForConnections(readyTimeout / 100) {
			return nil
		}
		if f := l.fatal.Load(); f != nil {
			return errors.New(*f)
		}
	}
	return fmt.Errorf("not ready after %v", readyTimeout)
}
