package natsplane

import (
	"time"

	"github.com/logq/logq/record"
)

const (
	// MaxPayloadBytes is the largest NATS message, with its headers: a few batches
	// of the largest size, or a fetch reply. The server tells clients so, and cuts
	// off who sends more.
	MaxPayloadBytes = 8 << 20
	// MaxFetchBytes is what a fetch may be asked for, so that its reply fits: the
	// service may go beyond by one batch.
	MaxFetchBytes = MaxPayloadBytes - record.MaxBatchBytes - 64<<10
	// Defaults of the options of these names.
	defaultMaxRequests     = 64 << 10
	defaultMaxPendingBytes = 64 << 20
	// Requests that wait for their callback on one connection; beyond it nothing is
	// read. Callbacks only hand over, so that little waits unless the machine is
	// overloaded.
	backlogMessages = 8 << 10
	backlogBytes    = 32 << 20
	// maxConnections and maxSubscriptions bound the clients, and what one may hold.
	maxConnections   = 64 << 10
	maxSubscriptions = 16 << 10

	readyTimeout  = 10 * time.Second
	flushTimeout  = 5 * time.Second
	drainTimeout  = time.Second
	writeDeadline = 10 * time.Second
	// reconnectWait is for in-process connections, which break only when the server
	// takes them for slow.
	reconnectWait = 5 * time.Millisecond
	gateTick      = 20 * time.Millisecond
)

// The largest reply must fit a message.
const _ = uint(MaxPayloadBytes - MaxFetchBytes - record.MaxBatchBytes)
