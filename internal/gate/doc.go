// Package gate counts what is under way and waits for its end: a server enters the
// [Gate] with each request, and closes it when it stops.
//
//	if !g.Enter() {
//		return errClosed
//	}
//	defer g.Leave()
package gate
