package natsplane

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// Users of the in-process connections. Their passwords are drawn at each start
// and never leave the process.
const (
	brokerUser = "broker"
	edgeUser   = "edge"
	clientUser = "client"
)

// accounts is the part of the configuration that is simplest in the server's own
// language. The two secrets are filled in.
const accounts = `
accounts {
  LOGQ {
    users: [ { user: %[1]q, password: %[4]q, allowed_connection_types: ["IN_PROCESS"] } ]
    exports: [ { service: "logq.v1.>" }, { service: "$SRV.>", response_type: "stream" } ]
  }
  APP {
    users: [
      { user: %[2]q, password: %[4]q, allowed_connection_types: ["IN_PROCESS"] }
      { user: %[3]q, password: %[5]q, permissions: {
          publish: { allow: [">"], deny: ["_INBOX.>", "_R_.>", "$SYS.>", "$JS.>"] }
          subscribe: { allow: ["_INBOX.>"] } } }
    ]
    imports: [
      { service: { account: LOGQ, subject: "logq.v1.>" }, share: true }
      { service: { account: LOGQ, subject: "$SRV.>" } }
    ]
  }
}
no_auth_user: %[3]q
`

// startServer starts the embedded server and returns the secret of the
// in-process users.
func startServer(o *Options) (*server.Server, string, error) {
	host, port, err := o.check()
	if err != nil {
		return nil, "", err
	}
	secret := rand.Text()
	so := &server.Options{}
	if err := so.ProcessConfigString(fmt.Sprintf(accounts, brokerUser, edgeUser, clientUser, secret, rand.Text())); err != nil {
		return nil, "", fmt.Errorf("configure the NATS server: %w", err)
	}
	so.ServerName, so.Host, so.Port = o.Name, host, port
	so.NoSigs, so.NoLog = true, false
	so.MaxPayload, so.MaxPending, so.MaxConn = MaxPayloadBytes, maxPendingBytes, maxConnections
	so.WriteDeadline = writeDeadline
	if o.TLS != nil {
		so.TLSConfig, so.TLS = o.TLS, true
		so.TLSTimeout = readyTimeout.Seconds()
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
		return nil, "", fmt.Errorf("client listener %s: %w", o.Listen, err)
	}
	return s, secret, nil
}

// ready waits until the server listens, or has said why it can't.
func ready(s *server.Server, l *serverLog) error {
	for start := time.Now(); time.Since(start) < readyTimeout; {
		if s.ReadyForConnections(readyTimeout / 100) {
			return nil
		}
		if f := l.fatal.Load(); f != nil {
			return fmt.Errorf("%s; is the port in use? choose another with --listen", *f)
		}
	}
	return fmt.Errorf("not ready after %v", readyTimeout)
}

// inProcess connects to s without a socket.
func inProcess(s *server.Server, user, secret string, log *slog.Logger) (*nats.Conn, error) {
	nc, err := nats.Connect("", nats.InProcessServer(s), nats.UserInfo(user, secret), nats.Name(user),
		nats.MaxReconnects(-1), nats.ReconnectBufSize(-1),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			subject := ""
			if sub != nil {
				subject = sub.Subject
			}
			if !errors.Is(err, nats.ErrConnectionClosed) {
				log.Warn("NATS, in process", "user", user, "subject", subject, "error", err)
			}
		}))
	if err != nil {
		return nil, fmt.Errorf("connect to the embedded NATS server as %s: %w", user, err)
	}
	return nc, nil
}

// serverLog hands the server's log on. A fatal error is kept: the server says
// so instead of returning it, and goes on.
type serverLog struct {
	log   *slog.Logger
	fatal atomic.Pointer[string]
}

func (l *serverLog) Noticef(format string, v ...any) { l.log.Debug(fmt.Sprintf(format, v...)) }
func (l *serverLog) Warnf(format string, v ...any)   { l.log.Warn(fmt.Sprintf(format, v...)) }
func (l *serverLog) Errorf(format string, v ...any)  { l.log.Error(fmt.Sprintf(format, v...)) }
func (l *serverLog) Debugf(format string, v ...any)  { l.log.Debug(fmt.Sprintf(format, v...)) }
func (l *serverLog) Tracef(format string, v ...any)  { l.log.Debug(fmt.Sprintf(format, v...)) }
func (l *serverLog) Fatalf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	l.fatal.Store(&text)
	l.log.Error(text)
}
