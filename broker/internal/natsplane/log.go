package natsplane

import (
	"fmt"
	"log/slog"
	"sync/atomic"
)

// serverLog hands the server's log on. Its notices are about itself and go to
// debug; its errors are mostly about clients, and no reason to wake anybody. A
// fatal error is kept: the server logs it instead of returning it, and goes on.
type serverLog struct {
	log   *slog.Logger
	fatal atomic.Pointer[string]
}

// Noticef logs at debug.
func (l *serverLog) Noticef(format string, v ...any) { l.debug(format, v) }

// plainPasswords is a warning that doesn't apply: the only passwords are drawn at
// each start, stay in this process, and are good for connections inside it.
const plainPasswords = "Plaintext passwords detected, use nkeys or bcrypt"

// Warnf logs at warn.
func (l *serverLog) Warnf(format string, v ...any) {
	if format != plainPasswords {
		l.warn(format, v)
	}
}

// Errorf logs at warn.
func (l *serverLog) Errorf(format string, v ...any) { l.warn(format, v) }

// Debugf logs at debug.
func (l *serverLog) Debugf(format string, v ...any) { l.debug(format, v) }

// Tracef logs at debug.
func (l *serverLog) Tracef(format string, v ...any) { l.debug(format, v) }

// Fatalf keeps the text.
func (l *serverLog) Fatalf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	l.fatal.Store(&text)
	l.log.Error("NATS server: " + text)
}

func (l *serverLog) debug(format string, v []any) {
	l.log.Debug("NATS server: " + fmt.Sprintf(format, v...))
}

func (l *serverLog) warn(format string, v []any) {
	l.log.Warn("NATS server: " + fmt.Sprintf(format, v...))
}
