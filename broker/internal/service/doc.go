// Package service carries out the operations of logq: it stands between the listeners, which speak a protocol, and the
// host, which runs the replicas.
package service
