// Package natsplane is the NATS side of a broker: an embedded NATS server, and
// the translation between NATS messages and the broker's service.
//
//	p, err := natsplane.Start(natsplane.Options{Listen: "127.0.0.1:4222", Handler: svc, …})
//	p.SetBindings([]natsplane.Binding{{Subject: "orders.>", Topic: "orders"}})
//	p.Close(ctx)
//
// # Accounts
//
// The server has two. LOGQ is the brokers': its one user may come in over an
// in-process connection only, so no socket leads there. It answers
// logq.v1.> and the discovery subjects $SRV.>. APP is the clients': it imports
// those subjects, with sharing on, so that the server tells who asks. In APP a
// client may publish anything but to inboxes and to the server's own subjects,
// and may subscribe to inboxes only: nobody can read what others send to a
// broker, and nobody but the broker can answer it.
//
// A second in-process user in APP serves bound subjects, whose messages become
// records of a topic.
//
// # Contract
//
// NATS runs the callbacks of a subscription one after the other, so each hands
// its request over at once; Handler.Handle must not block. Message bytes are
// fresh for each message in nats.go and pass to the handler without a copy.
// Replies are published from whatever goroutine the handler replies on. Close
// stops taking requests, waits for the replies that are due, and stops the
// server.
package natsplane
