package sim

// Fault is a kind of mischief, or of other things that don't happen by
// themselves, which a history can know.
type Fault uint8

// The kinds. A Report counts each.
const (
	// Of the network.
	Drop      Fault = iota // a message is lost
	Delay                  // a message is late, by up to a second
	Duplicate              // a message comes twice
	Reorder                // a message comes before one that was sent earlier on its link
	Mangle                 // a bit of the entries in a message is flipped
	CutNode                // a replica is cut off both ways
	CutLink                // one direction of a link is cut, and the sender is told
	HalfOpen               // one direction of a link swallows messages, and nobody is told
	Partition              // two sides that don't see each other
	Bridge                 // two sides and one replica between that sees both
	SlowLink               // one direction of a link is slow for a while
	// Of processes and machines.
	Kill            // a process ends; what the operating system has cached stays
	PowerCut        // a machine loses power
	PowerLoss       // all machines lose power
	UnsyncedLost    // … and nothing that was not synced survives
	UnsyncedKept    // … and all of it survives
	UnsyncedMixed   // … and any blocks and names of it survive, in any order
	Torn            // … and sectors are torn
	CrashAtCall     // power is cut at one call of the file system
	CrashInRecovery // power is cut at one call while a replica starts
	Pause           // a process stops for a while (SIGSTOP)
	Strike          // a new leader is hit just when it has won
	Skew            // a replica's clock is more than 10 % off
	ClockJump       // a replica's wall clock jumps
	// Of disks.
	SyncLost     // a sync fails, and a later one would succeed although the data is lost
	SyncFails    // a sync fails
	WriteFails   // EIO for a call that changes something
	ShortWrite   // a part is written, then EIO
	ReadFails    // EIO for a read
	JournalFails // a save of the hard state fails
	NoSpace      // ENOSPC, and space returned later
	SlowDisk     // all operations of a disk are slow for a while
	Stall        // one operation takes up to a second
	HungDisk     // one operation takes many election timeouts
	BitFlip      // a bit of what was durable is flipped
	Truncation   // a file that was durable is cut
	Wipe         // a disk is lost; its replica must not come back under its id
	// What operators do.
	Transfer
	Reconfigure
	Trim
	faultKinds
)

var faultNames = [faultKinds]string{
	"drop", "delay", "duplicate", "reorder", "mangle", "cut node", "cut link", "half-open link", "partition", "bridge", "slow link",
	"kill", "power cut", "power loss of all", "unsynced lost", "unsynced kept", "unsynced mixed", "torn sectors",
	"crash at a call", "crash in recovery", "pause", "strike", "clock skew", "clock jump",
	"sync fails, data lost", "sync fails", "write fails", "short write", "read fails", "journal fails", "no space", "slow disk",
	"stall", "hung disk", "bit flip", "truncation", "wiped disk",
	"transfer", "reconfigure", "trim",
}

// String returns the fault's name.
func (f Fault) String() string { return faultNames[f] }

// FaultSet is a set of faults.
type FaultSet uint64

// Has says whether f is in s.
func (s FaultSet) Has(f Fault) bool { return s>>f&1 != 0 }

// With returns s with f.
func (s FaultSet) With(f Fault) FaultSet { return s | 1<<f }

// strikes says that a fault drawn now happens. The draw comes before, so that a
// history without one fault is the same up to that moment.
func (w *world) strikes(f Fault) bool {
	if w.healed || w.o.Without.Has(f) || untilFixed.Has(f) && !w.o.Known {
		return false
	}
	w.injected++
	if w.o.skip != nil && w.o.skip[w.injected] {
		return false
	}
	w.report.Faults[f]++
	w.mix(uint64(f), uint64(w.now))
	return true
}

// chance draws with probability p whether f happens now.
func (w *world) chance(f Fault, p float64) bool {
	return w.r.Float64() < p && w.strikes(f)
}
