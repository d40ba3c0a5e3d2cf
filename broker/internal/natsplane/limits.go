package natsplane

import "time"

const (
	// MaxPayloadBytes is the largest NATS message: a few batches of the largest
	// size, or a fetch reply.
	MaxPayloadBytes = 8 << 20
	// MaxFetchBytes is the largest fetch reply that fits, with its headers.
	MaxFetchBytes = MaxPayloadBytes - 64<<10
	// maxPendingBytes is what the server buffers for one client that reads slowly
	// before it is cut off.
	maxPendingBytes = 64 << 20
	// Requests that wait for a callback; beyond it the server drops, and the
	// client's request ends by its deadline.
	pendingMessages = 1 << 16
	pendingBytes    = 256 << 20

	readyTimeout   = 10 * time.Second
	flushTimeout   = 5 * time.Second
	drainTimeout   = time.Second
	writeDeadline  = 10 * time.Second
	maxConnections = 64 << 10
	bindingHeader  = "Nats-Subject"
	serviceName    = "logq"
)
