package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// Exit codes. Scripts rely on them: they are never given another meaning.
const (
	// ExitOK means that everything asked for was done.
	ExitOK = 0
	// ExitFailed means that it was not, for the reason on standard error.
	ExitFailed = 1
	// ExitUsage means wrong arguments, flags, variables or configuration: nothing was tried.
	ExitUsage = 2
	// ExitNotAcked means that produce ended with lines that were not
	// acknowledged: not written, or with an unknown outcome, as its summary says.
	ExitNotAcked = 3
	// ExitDamaged means that segment dump found damage.
	ExitDamaged = 4
	// ExitInterrupted means that Ctrl-C ended a command that had more to do.
	ExitInterrupted = 130
	// ExitTerminated means the same for SIGTERM.
	ExitTerminated = 143
)

// exitError carries the exit code of a failure. A nil err prints nothing.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usagef is an error of the caller's command line or configuration.
func usagef(format string, args ...any) error {
	return &exitError{code: ExitUsage, err: fmt.Errorf(format, args...)}
}

// quiet ends with a code and prints nothing: what is to be said has been said.
func quiet(code int) error { return &exitError{code: code} }

// interrupted is the cause of a context that a signal ended.
type interrupted struct{ signal syscall.Signal }

func (i interrupted) Error() string { return "interrupted by " + i.signal.String() }

// interruption returns the error with which a command ends that a signal cut
// short: the shell's codes, and nothing printed. Nil if ctx goes on, or ended
// for another reason.
func interruption(ctx context.Context) error {
	var i interrupted
	if ctx.Err() == nil || !errors.As(context.Cause(ctx), &i) {
		return nil
	}
	if i.signal == syscall.SIGTERM {
		return quiet(ExitTerminated)
	}
	return quiet(ExitInterrupted)
}

// isClosedPipe says that nobody reads what is written any more.
func isClosedPipe(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, fs.ErrClosed)
}

// outcome turns a command's error into the line to print ("" = none) and the
// exit code.
func outcome(err error) (string, int) {
	if err == nil {
		return "", ExitOK
	}
	if isClosedPipe(err) {
		return "", ExitOK
	}
	var e *exitError
	if !errors.As(err, &e) {
		return err.Error(), ExitFailed
	}
	if e.err == nil {
		return "", e.code
	}
	return err.Error(), e.code
}
