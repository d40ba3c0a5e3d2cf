package invariants

import "fmt"

// Violation is the panic value of a failed assertion. It is an error so that
// whoever recovers it can wrap and report it.
type Violation struct {
	// Text says which invariant broke, with the values that broke it.
	Text string
}

// Error returns the text with the prefix BUG, which tells an operator that the
// program, not its surroundings, is at fault.
func (v *Violation) Error() string { return "BUG: invariant violated: " + v.Text }

// Assertf panics with a *Violation when cond is false. The arguments are
// formatted only then, so a passing check costs one branch.
func Assertf(cond bool, format string, args ...any) {
	if !cond {
		panic(&Violation{Text: fmt.Sprintf(format, args...)})
	}
}

// Recover turns a *Violation in flight into *err; any other panic goes on. Use
// it deferred, at the border where one state machine can be stopped alone:
//
//	defer invariants.Recover(&err)
func Recover(err *error) {
	switch r := recover().(type) {
	case nil:
	case *Violation:
		*err = r
	default:
		panic(r)
	}
}
