package replica

import "github.com/logq/logq/record"

// Defaults and bounds of a replica, in bytes unless said otherwise.
const (
	defaultElectionTicks       = 8
	defaultHeartbeatTicks      = 2
	defaultMaxMessageBytes     = 1 << 20
	defaultMaxInflightBytes    = 4 << 20
	defaultMaxUncommittedBytes = 32 << 20
	defaultMaxInflightMessages = 16

	// bootReadBytes is how much of the uncommitted tail is read at once at Open.
	bootReadBytes = 1 << 20

	// frameOverhead is what a batch takes in the log beside its own bytes.
	frameOverhead = 96
)

// A full batch must fit the quota of uncommitted bytes, or it could never be
// written.
const _ = uint(defaultMaxUncommittedBytes - record.MaxBatchBytes - frameOverhead)

func (o *Options) setDefaults() {
	set := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	set(&o.ElectionTicks, defaultElectionTicks)
	set(&o.HeartbeatTicks, defaultHeartbeatTicks)
	set(&o.MaxMessageBytes, defaultMaxMessageBytes)
	set(&o.MaxInflightBytes, defaultMaxInflightBytes)
	set(&o.MaxUncommittedBytes, defaultMaxUncommittedBytes)
	set(&o.MaxInflightMessages, defaultMaxInflightMessages)
}
