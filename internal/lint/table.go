package lint

// Package is one row of the table of allowed imports.
type Package struct {
	// Layer orders the packages: an import leads to a lower layer, or within one
	// layer to a package that is listed in Imports.
	Layer Layer
	// Imports are the packages of this module that it may import, by directory.
	Imports []string
	// External are the modules or packages outside the standard library, by
	// import path prefix.
	External []string
}

// Layer is the height of a package. The gaps leave room for clients beside the
// broker's layers.
type Layer int

// The layers, from the bottom. At and below L2 code is pure: clock, random
// numbers, files and sockets come in as values and interfaces.
const (
	L0 Layer = iota // leaves: formats, files, assertions
	L1              // the pure core and the log on disk
	L2              // step functions
	L3              // hosts and peers: the first goroutines
	L4              // transport-neutral services
	L5              // listeners
	C1              // what the clients share
	C2              // public client libraries
	L6              // the broker
	L7              // workloads
	L8              // the program
	T               // test support: imported by tests only
)

const (
	nats     = "github.com/nats-io/nats.go"
	natsSrv  = "github.com/nats-io/nats-server/v2"
	natsJWT  = "github.com/nats-io/jwt/v2"
	fuse     = "github.com/hanwen/go-fuse/v2"
	compress = "github.com/klauspost/compress"
	lz4      = "github.com/pierrec/lz4/v4"
	uuid     = "github.com/google/uuid"
	xsync    = "golang.org/x/sync"
	xsys     = "golang.org/x/sys"
	xterm    = "golang.org/x/term"
)

// table is the table of allowed imports. A package without a row is a finding:
// decide its layer here first.
var table = map[string]Package{
	"record":              {Layer: L0, External: []string{compress, lz4}},
	"internal/invariants": {Layer: L0},
	"internal/protocol":   {Layer: L0},
	"internal/gate":       {Layer: L0},
	"internal/vfs":        {Layer: L0, Imports: []string{"internal/invariants"}, External: []string{xsys}},
	"internal/journal":    {Layer: L0, Imports: []string{"internal/vfs", "internal/invariants"}, External: []string{"github.com/tidwall/wal"}},

	"raft/quorum":   {Layer: L1},
	"raft":          {Layer: L1, Imports: []string{"raft/quorum", "internal/invariants"}},
	"raft/etcdtest": {Layer: T, Imports: []string{"raft", "raft/quorum", "raft/rafttest"}, External: []string{"go.etcd.io/raft/v3", "google.golang.org/protobuf", "github.com/cockroachdb/datadriven"}},
	"raft/spec":     {Layer: T, Imports: []string{"raft"}},
	"raft/rafttest": {Layer: T, Imports: []string{"raft", "raft/quorum", "raft/spec"}, External: []string{"github.com/cockroachdb/datadriven"}},
	"segments":      {Layer: L1, Imports: []string{"record", "internal/vfs", "internal/invariants"}},

	"internal/replica":   {Layer: L2, Imports: []string{"raft", "segments", "record", "internal/protocol", "internal/journal", "internal/vfs", "internal/invariants"}},
	"internal/meta":      {Layer: L2, Imports: []string{"record", "internal/protocol", "internal/invariants"}},
	"internal/statefile": {Layer: L1, Imports: []string{"internal/vfs", "internal/invariants"}},
	"internal/group":     {Layer: L2, Imports: []string{"internal/protocol", "internal/invariants"}},

	"internal/quorumloss": {Layer: L2, Imports: []string{
		"internal/replica", "raft", "segments", "record", "internal/protocol", "internal/journal", "internal/vfs",
	}},

	"internal/multiraft": {Layer: L3, Imports: []string{
		"internal/replica", "raft", "segments", "record", "internal/protocol", "internal/journal", "internal/vfs", "internal/invariants",
	}},
	"internal/peer": {Layer: L3, Imports: []string{"raft", "internal/protocol"}},

	"broker/internal/service": {Layer: L4, Imports: []string{
		"internal/multiraft", "internal/replica", "internal/meta", "internal/statefile", "internal/group", "raft", "segments", "record",
		"internal/protocol", "internal/journal", "internal/invariants", "internal/gate",
	}, External: []string{xsync}},

	"broker/internal/natsplane": {Layer: L5, Imports: []string{"broker/internal/service", "internal/protocol", "internal/gate", "record"}, External: []string{nats, natsSrv, natsJWT}},
	"broker/internal/kafka":     {Layer: L5, Imports: []string{"broker/internal/service", "internal/protocol", "record"}, External: []string{"github.com/twmb/franz-go/pkg/kmsg"}},
	"broker/internal/httpd":     {Layer: L5, Imports: []string{"broker/internal/service", "internal/protocol"}, External: []string{"github.com/prometheus/client_golang"}},

	"internal/client": {Layer: C1, Imports: []string{"internal/protocol", "record"}, External: []string{nats}},
	"producer":        {Layer: C2, Imports: []string{"internal/client", "internal/protocol", "internal/journal", "record"}, External: []string{nats}},
	"consumer":        {Layer: C2, Imports: []string{"internal/client", "internal/protocol", "record"}, External: []string{nats}},
	"admin":           {Layer: C2, Imports: []string{"internal/client", "internal/protocol"}, External: []string{nats}},

	"broker": {Layer: L6, Imports: []string{
		"broker/internal/service", "broker/internal/natsplane", "broker/internal/kafka", "broker/internal/httpd",
		"internal/multiraft", "internal/quorumloss", "internal/peer", "internal/meta", "internal/statefile", "internal/group", "internal/journal", "internal/vfs",
		"internal/protocol", "internal/invariants", "raft", "segments", "record",
	}, External: []string{uuid, xsync}},

	"bench": {Layer: L7, Imports: []string{"producer", "consumer", "admin", "broker", "segments", "record", "internal/protocol", "internal/journal"},
		External: []string{"github.com/HdrHistogram/hdrhistogram-go", nats}},

	"cmd/logq/internal/cli": {Layer: L8, Imports: []string{
		"broker", "producer", "consumer", "admin", "bench", "segments", "record", "internal/quorumloss", "internal/protocol", "internal/vfs",
	}, External: []string{
		"github.com/urfave/cli/v2", "go.yaml.in/yaml/v3", "github.com/schollz/progressbar/v3", "github.com/dustin/go-humanize",
		"github.com/HdrHistogram/hdrhistogram-go", nats, xterm, xsys,
	}},
	"cmd/logq": {Layer: L8, Imports: []string{"cmd/logq/internal/cli"}},

	"internal/fakebroker": {Layer: T, Imports: []string{"internal/protocol", "record"}, External: []string{nats, natsSrv}},
	"internal/sim": {Layer: T, Imports: []string{
		"internal/replica", "internal/multiraft", "internal/meta", "internal/group", "internal/journal", "raft", "segments",
		"record", "internal/vfs", "internal/protocol", "internal/invariants",
	}, External: []string{"github.com/anishathalye/porcupine"}},
	"internal/sim/mutants": {Layer: T},
	"internal/sim/soak":    {Layer: T, Imports: []string{"internal/sim"}},
	"internal/crashstate":  {Layer: T, Imports: []string{"internal/vfs", "internal/invariants"}},
	"internal/powerloss":   {Layer: T, Imports: []string{"internal/vfs"}, External: []string{fuse}},
	"internal/powerloss/run": {Layer: T, Imports: []string{
		"internal/powerloss", "internal/vfs", "producer", "consumer", "admin",
	}, External: []string{nats}},
	"internal/lint": {Layer: T},
	"tests/system":  {Layer: T, Imports: []string{"producer"}, External: []string{nats}},
}

// testSupport may be imported by the tests of any package that is not below it.
var testSupport = []string{"internal/crashstate", "internal/fakebroker", "internal/sim", "raft/rafttest", "raft/spec", "internal/vfs", "internal/invariants"}

// pure are the directories at and below L2: no goroutine, clock, random source,
// socket or direct file access. The value names files that are the exception,
// by prefix, with "" for the whole directory.
var pureExceptions = map[string][]string{
	"internal/vfs":     {"internal/vfs/os"},
	"internal/journal": {"internal/journal/"}, // tidwall/wal opens files itself
}
