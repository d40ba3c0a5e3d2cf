// Package natsplane is the NATS side of a broker: an embedded NATS server, and
// the translation between NATS messages and the broker's service.
//
//	p, err := natsplane.Start(natsplane.Options{Listen: "127.0.0.1:4222", Handler: svc, …})
//	err = p.SetBindings([]natsplane.Binding{{Subject: "orders.>", Topic: "orders"}})
//	err = p.Close(ctx)
//
// # Accounts
//
// The server has two. LOGQ is the broker's: its users may come in over in-process
// connections only, so no socket leads there. It answers logq.v1.> and the
// discovery subjects $SRV.>. APP is the clients': it imports those subjects, with
// sharing on, so that the server tells who asks.
//
//	client ──socket──▶ APP ──import──▶ LOGQ ──in process──▶ Handler
//	                    │ bound subjects
//	                    └──in process──▶ Handler
//
// In APP a client may publish anything but to inboxes, and may subscribe to
// inboxes only. So nobody can read what others send to a broker, nobody but the
// broker can answer it, and there is no way from client to client.
//
// What this does not do: all clients without credentials are one user with the
// same rights, and NATS permissions match whole tokens, so that a subscription to
// every inbox looks like one to an own inbox. Such a client can read the replies to
// other anonymous ones (nothing that it could not fetch itself), and, having learnt
// an inbox that is in use, can have the broker send the answer to a request of its
// own there. Where clients must not trust each other, each needs its user, with an
// inbox prefix of its own: clientPermissions is made for that.
//
// # Subjects
//
// Each operation on a partition has one subscription, because NATS runs the
// callbacks of a subscription one after the other: the requests of a client are
// handed over in its order. Metadata and administration are a micro service. What
// is under logq.v1 and none of these is answered as an unknown operation: the
// subscription for it is to logq.v1.>, by a user who is denied all the others,
// which the server applies before it copies a message.
//
// # Contract
//
// Handler.Handle must not block: it is called from the subscription's goroutine.
// Message bytes are fresh for each message in nats.go and pass to the handler
// without a copy. Replies are published from whatever goroutine the handler replies
// on, and wait there while the server takes them. Close stops taking requests,
// waits for the replies that are due, and stops the server.
//
// # Bounds
//
// Requests under way are bounded in number here, and in bytes by the service; each
// has a typed error. Before that, where the server queues for the broker, a request
// that finds the queue full is answered with NATS's own status 503, no responders:
// it was delivered to nobody, and so is definitely not written. Nothing on the way
// drops a request in silence (link.go). A message over MaxPayloadBytes is refused
// by the server, which closes the connection, as NATS does everywhere. A client
// that doesn't read its replies loses those beyond 48 MiB; others don't wait for it.
package natsplane
