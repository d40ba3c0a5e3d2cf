// Package client is what producer, consumer and admin share: who leads which partition, connections to the leaders,
// one request and its outcome.
//
//	c, err := client.New(nc, client.Options{})
//	defer c.Close()
//	reply, err := c.Do(ctx, &client.Request{Op: protocol.OpFetch, Topic: "events", Partition: 0, Body: body, Timeout: 5 * time.Second})
//
// # Contract
//
// A [Client] stands on the caller's connection, the seed, and opens connections of its own to the brokers it needs, with
// the seed's options: TLS, credentials and dialer are nats.go's and stay the caller's business. Batches travel on the
// client's own connections only, because those buffer nothing while they are broken: a request that could not be sent is
// then known not to be written. The seed serves metadata and administration, and everything when no broker can be reached
// directly; any broker forwards what it does not lead.
//
// All methods may be called from any goroutine. Every wait ends with its context or the request's own timeout. A
// [Request] and its body belong to the client until [Call.Wait] has returned, and are not changed. A [Reply]'s body is
// fresh memory that belongs to the caller. Close ends everything; it waits for the client's goroutines. The seed is left
// open.
//
// # Errors
//
// Every error of a request is an *[Error] with an outcome: what the broker said or, where no answer came, what follows
// from where the request was lost:
//
//	not connected, no responders, refused by nats.go          not written
//	connection lost, or nothing heard, after it was sent      unknown
//	a later term was seen while it waited                     unknown
//	answer of the broker                                      as the answer says
//
// One request is one try. [Client.Do] never repeats it; that is for the caller, who knows what a repetition means.
// [Client.Retry] does it for what may be repeated freely.
//
// # Leaders
//
// What a partition's leader is comes from metadata, which only moves on to later terms: an answer from a broker that lags
// cannot bring an old leader back. A failed try marks the leader as doubtful, and the next try asks again, a different
// broker each time. A request that waits long asks in the background, and is given up when a later term exists, so that a
// leader that hangs costs about [Options.ProbeAfter] and not the whole timeout.
//
// # Limits
//
// Connections are bounded by [Options.MaxConns] and closed when idle. There is at most one request for metadata under way
// per topic.
package client
