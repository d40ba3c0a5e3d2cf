package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/urfave/cli/v2"

	"github.com/logq/logq/admin"
)

const (
	// defaultServer is where `logq server` listens when nothing is said.
	defaultServer = "nats://127.0.0.1:4222"
	// dialTimeout bounds the try to reach one of the servers.
	dialTimeout = 5 * time.Second
	// connectPatience is how long a command waits for a broker that was started just
	// before it.
	connectPatience = 3 * time.Second
	// reconnectWait is the pause between tries to come back to a broker.
	reconnectWait = 100 * time.Millisecond
)

// connectFlags are the flags of every command that talks to a broker.
func connectFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "server", Usage: "`URL[,URL…]` of one or more brokers [$LOGQ_SERVER]", DefaultText: defaultServer},
		&cli.StringFlag{Name: "creds", Usage: "`FILE` with NATS credentials [$LOGQ_CREDS]"},
		&cli.StringFlag{Name: "tls-ca", Usage: "trust certificates signed by the CA in `FILE` [$LOGQ_TLS_CA]"},
		&cli.StringFlag{Name: "tls-cert", Usage: "`FILE` with the client certificate [$LOGQ_TLS_CERT]"},
		&cli.StringFlag{Name: "tls-key", Usage: "`FILE` with the key of the client certificate [$LOGQ_TLS_KEY]"},
	}
}

// timeoutFlag bounds commands that ask one question.
func timeoutFlag() cli.Flag {
	return &cli.DurationFlag{Name: "timeout", Usage: "give up after this `TIME`", Value: 10 * time.Second}
}

func jsonFlag(usage string) cli.Flag { return &cli.BoolFlag{Name: "json", Usage: usage} }

// value returns a flag, else its variable, else "".
func value(c *cli.Context, env Env, flag string) string {
	if c.IsSet(flag) {
		return c.String(flag)
	}
	return env.Getenv(variable(flag))
}

// variable is the environment variable of a flag.
func variable(flag string) string {
	return "LOGQ_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// connect opens the connection that the libraries start from. The caller closes it.
func connect(c *cli.Context, env Env) (*nats.Conn, error) {
	urls, err := serverURLs(value(c, env, "server"))
	if err != nil {
		return nil, err
	}
	opts := []nats.Option{
		nats.Name("logq " + c.Command.Name), nats.Timeout(dialTimeout), nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}),
	}
	if f := value(c, env, "creds"); f != "" {
		opts = append(opts, nats.UserCredentials(f))
	}
	if f := value(c, env, "tls-ca"); f != "" {
		opts = append(opts, nats.RootCAs(f))
	}
	cert, key := value(c, env, "tls-cert"), value(c, env, "tls-key")
	switch {
	case (cert == "") != (key == ""):
		return nil, usagef("--tls-cert and --tls-key belong together: give both or neither")
	case cert != "":
		opts = append(opts, nats.ClientCert(cert, key))
	}
	nc, err := dial(c.Context, strings.Join(urls, ","), opts)
	if err != nil {
		return nil, connectError(urls, err)
	}
	return nc, nil
}

// dial connects, and tries again for a while when nobody listens yet.
func dial(ctx context.Context, urls string, opts []nats.Option) (*nats.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectPatience)
	defer cancel()
	again := time.NewTicker(reconnectWait)
	defer again.Stop()
	for {
		nc, err := nats.Connect(urls, opts...)
		if !errors.Is(err, nats.ErrNoServers) {
			return nc, err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil, err
		}
	}
}

func connectError(urls []string, err error) error {
	at := strings.Join(urls, ", ")
	switch {
	case errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired):
		return fmt.Errorf("the broker at %s refuses these credentials (%w): give the right ones in the URL or with --creds", at, err)
	case errors.Is(err, nats.ErrSecureConnRequired):
		return fmt.Errorf("the broker at %s wants TLS: use tls:// and, for a private CA, --tls-ca", at)
	}
	return fmt.Errorf("no broker answers at %s (%w): start one with \"logq server\", or name another with --server or LOGQ_SERVER", at, err)
}

// serverURLs splits and completes a list of servers: HOST:PORT and HOST are
// taken as nats:// URLs.
func serverURLs(list string) ([]string, error) {
	if list == "" {
		return []string{defaultServer}, nil
	}
	var urls []string
	for u := range strings.SplitSeq(list, ",") {
		u = strings.TrimSpace(u)
		scheme, _, ok := strings.Cut(u, "://")
		switch {
		case u == "":
			return nil, usagef("--server %q has an empty entry: want URL[,URL…] such as %s", list, defaultServer)
		case !ok:
			u = "nats://" + u
		case scheme != "nats" && scheme != "tls":
			return nil, usagef("--server %s: unknown scheme %q: want nats:// or tls://", u, scheme)
		}
		urls = append(urls, u)
	}
	return urls, nil
}

// ask connects, lets do ask the cluster within --timeout, and hangs up.
func ask(c *cli.Context, env Env, do func(ctx context.Context, a *admin.Admin) error) error {
	nc, err := connect(c, env)
	if err != nil {
		return err
	}
	defer nc.Close()
	ctx, cancel := context.WithTimeout(c.Context, c.Duration("timeout"))
	defer cancel()
	err = do(ctx, admin.New(nc))
	if stop := interruption(c.Context); err != nil && stop != nil {
		return stop
	}
	return err
}

// topicNames asks for the topics, for completion: silent and quick.
func topicNames(ctx context.Context, env Env, flags []flagUse) []string {
	list := env.Getenv(variable("server"))
	for _, f := range flags {
		if f.name == "server" {
			list = strings.TrimPrefix(f.words[len(f.words)-1], f.text+"=")
		}
	}
	urls, err := serverURLs(list)
	if err != nil {
		return nil
	}
	nc, err := nats.Connect(strings.Join(urls, ","), nats.Timeout(completeTimeout))
	if err != nil {
		return nil
	}
	defer nc.Close()
	ctx, cancel := context.WithTimeout(ctx, completeTimeout)
	defer cancel()
	topics, err := admin.New(nc).ListTopics(ctx)
	if err != nil {
		return nil
	}
	var names []string
	for _, t := range topics {
		names = append(names, t.Name)
	}
	return names
}
