// Package admin creates, describes and deletes topics, and looks at the cluster.
//
//	a := admin.New(nc)
//	info, err := a.CreateTopic(ctx, admin.TopicSpec{Name: "orders", Partitions: 3, Replicas: 3})
//
// An Admin works over the caller's NATS connection, which may lead to any broker
// of the cluster: brokers pass a request on to the one that can answer. When
// that connection is down it asks the other brokers that it has heard of.
//
// # What an error means
//
// Every error is an *Error with an outcome: not written means that nothing was
// changed, unknown that it may have been. Look with DescribeTopic before you
// repeat an unknown CreateTopic; DeleteTopic may be repeated, and then a topic
// that is not there any more is an error that tells you it is done. Reads are
// repeated by the package itself until the context's deadline, 10 seconds
// without one.
//
// All methods may be called concurrently. An Admin holds nothing between calls
// and needs no closing.
package admin
