package invariants_test

import (
	"errors"
	"testing"

	"github.com/logq/logq/internal/invariants"
)

func TestAssertfPassesSilently(t *testing.T) {
	invariants.Assertf(true, "never formatted: %d", 1)
}

func TestRecoverReturnsTheViolation(t *testing.T) {
	f := func() (err error) {
		defer invariants.Recover(&err)
		invariants.Assertf(1 > 2, "commit %d above last %d", 7, 5)
		return nil
	}
	err := f()
	var v *invariants.Violation
	if !errors.As(err, &v) {
		t.Fatalf("got %v, want a *Violation", err)
	}
	if want := "BUG: invariant violated: commit 7 above last 5"; err.Error() != want {
		t.Errorf("text %q, want %q", err.Error(), want)
	}
}

func TestRecoverLetsOtherPanicsPass(t *testing.T) {
	defer func() {
		if r := recover(); r != "other" {
			t.Errorf("recovered %v, want the original panic", r)
		}
	}()
	func() (err error) {
		defer invariants.Recover(&err)
		panic("other")
	}()
	t.Error("the panic did not pass")
}
