package fakebroker

import (
	"errors"
	"fmt"
	"slices"
	"sync"
)

// TB is what a cluster needs of a test; *testing.T and *testing.B are one.
type TB interface {
	Helper()
	Cleanup(func())
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Outside is a TB where there is no test, as in examples. End takes the place of the test's end.
type Outside struct {
	mu       sync.Mutex
	cleanups []func() // guarded by mu
	errs     []error  // guarded by mu
}

// Helper does nothing.
func (o *Outside) Helper() {}

// Cleanup has End call f.
func (o *Outside) Cleanup(f func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.cleanups = append(o.cleanups, f)
}

// Errorf has End return the error.
func (o *Outside) Errorf(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.errs = append(o.errs, fmt.Errorf(format, args...))
}

// Fatalf has End return the error. Unlike a test's it returns.
func (o *Outside) Fatalf(format string, args ...any) { o.Errorf(format, args...) }

// End cleans up and returns the errors so far.
func (o *Outside) End() error {
	o.mu.Lock()
	cleanups := o.cleanups
	o.cleanups = nil
	o.mu.Unlock()
	for _, f := range slices.Backward(cleanups) {
		f()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return errors.Join(o.errs...)
}
