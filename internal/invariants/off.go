//go:build !invariants

package invariants

// Enabled is false in ordinary builds: expensive checks compile to nothing.
const Enabled = false
