package peer

import "time"

// Defaults of Options.
const (
	defaultControlQueueBytes = 8 << 20
	defaultBulkQueueBytes    = 64 << 20
	defaultMaxFrameBytes     = 32 << 20
	defaultHandshakeTimeout  = 5 * time.Second
	defaultPing              = time.Second
	defaultSilence           = 5 * time.Second
	defaultBackoffMin        = 20 * time.Millisecond
	defaultBackoffMax        = time.Second

	// maxRequests bounds the requests without a reply on one connection, on the
	// asking and on the answering side.
	maxRequests = 4096
	// maxConnections bounds accepted connections, greeted or not.
	maxConnections = 256
	// inlineBytes is the body size up to which copying beats another iovec.
	inlineBytes = 2 << 10
	// gatherBytes bounds what one system call writes.
	gatherBytes = 4 << 20
	readBuffer  = 64 << 10
)
