package peer

import "time"

// Defaults of Options.
const (
	defaultControlQueueBytes = 8 << 20
	defaultBulkQueueBytes    = 64 << 20
	defaultMaxFrameBytes     = 32 << 20
	defaultMaxRequests       = 4096
	defaultMaxRequestBytes   = 64 << 20
	defaultHandshakeTimeout  = 5 * time.Second
	defaultPing              = time.Second
	defaultSilence           = 5 * time.Second
	defaultRequestTimeout    = time.Minute
	defaultBackoffMin        = 20 * time.Millisecond
	defaultBackoffMax        = time.Second
)

const (
	// MaxBatch is how many messages SendAll takes.
	MaxBatch = 512
	// MaxPulse is how many bytes SendPulse takes.
	MaxPulse = 64 << 10
	// MaxQuestion is how many bytes Ask takes.
	MaxQuestion = 64 << 10
	// MaxAnswer is how many bytes Ask brings.
	MaxAnswer = 1 << 20
)

const (
	// maxGreetings bounds accepted connections that have not greeted; those that
	// have are one per peer and class.
	maxGreetings = 64
	// maxCauses bounds the causes that are remembered so as to log each once.
	maxCauses = 256
	// inlineBytes is the body size up to which copying beats another iovec.
	inlineBytes = 2 << 10
	// gatherBytes is about what one system call writes. A keep-alive waits for one
	// of them at most.
	gatherBytes = 1 << 20
	// readBuffer is what one system call reads, except into the body of a large
	// frame, which is read in place. tlsBuffer gathers what TLS encrypts.
	readBuffer = 64 << 10
	tlsBuffer  = 64 << 10
	// batchedBytes is about what a heartbeat takes in a batch.
	batchedBytes = 48
	// keepItems is how many queue entries keep their memory for the next time.
	keepItems = 4096
)
