// Package system tests logq from outside: the real program in real processes,
// on loopback ports and temporary directories, killed as a power switch or an
// operator would. It holds tests only:
//
//	go test ./tests/system
//	go test ./tests/system -v -run TestLeaderKilled
//
// TestMain builds cmd/logq once, with the race detector if the tests run under
// it. A cluster belongs to one test; when that test fails, the brokers' logs are
// printed, and when it ends, its processes are gone and its directories too.
//
// # Rules for tests here
//
//   - Only processes that the test started are ended, by their id.
//   - Every wait has a deadline and looks for the condition itself.
//   - Brokers are observed as users observe them: through the program, the NATS
//     and the HTTP port. The one exception is `logq segment dump`, on files of
//     brokers that have ended.
//
// # Limits
//
// Ports are chosen free and then handed over by number, so another process could
// take one in between; a broker that cannot listen fails its test clearly.
package system
