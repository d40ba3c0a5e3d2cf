// Package fakebroker is a scripted cluster of brokers in the test's own process: real NATS servers on loopback that speak
// the protocol, with a model of the partitions' logs behind them, and hooks that make any request go wrong in any way.
//
//	c := fakebroker.Start(t, fakebroker.Options{Brokers: 3})
//	c.CreateTopic("events", 4)
//	nc := c.Connect(t)
//	c.Hook(func(r *fakebroker.Request) *fakebroker.Action {
//		if r.Op == protocol.OpProduce && r.Seen == 1 {
//			return &fakebroker.Action{LoseReply: true} // written, but nobody is told
//		}
//		return nil
//	})
//
// # Model
//
// All brokers of a cluster share one state. A partition has a log of batches, a leader and a term; [Cluster.Elect] moves
// the leader into the next term. Everything in the log is committed. A broker that is asked for a partition led elsewhere
// forwards, unless the leader is down, as the real ones do; a produce request that expects another term than the leader's
// is fenced. [Cluster.Kill] and [Cluster.Restart] stop and start a broker on its port; [Cluster.Cut] cuts the clients'
// connections; [Cluster.Mute] leaves a server without a broker behind it; [Cluster.Lag] has a broker answer metadata as it
// was.
//
// # Contract
//
// It is for tests, and ends with the test: Start registers the clean-up. Methods may be called from any goroutine, also
// from hooks. A hook must not block; to hold a request or its reply up, it returns channels that the test closes.
//
// # Departures from a broker
//
// Topics are made by CreateTopic or by request, with any number of partitions, placed round robin. There is no account
// separation, no pub, no back-pressure, and nothing is stored on disk. Batches are not checked beyond their structure.
package fakebroker
