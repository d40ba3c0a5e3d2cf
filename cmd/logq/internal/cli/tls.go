package cli

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// tlsFiles are the files that secure one listener.
type tlsFiles struct{ cert, key, ca string }

// config loads the files; nil if there are none. With a CA, both sides of a
// connection must show a certificate that it signed.
func (f tlsFiles) config(what string) (*tls.Config, error) {
	if f == (tlsFiles{}) {
		return nil, nil
	}
	if f.cert == "" || f.key == "" {
		return nil, fmt.Errorf("--%s-tls-cert and --%s-tls-key belong together: give both or neither", what, what)
	}
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return nil, fmt.Errorf("--%s-tls-cert %s, --%s-tls-key %s: %w", what, f.cert, what, f.key, err)
	}
	c := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if f.ca == "" {
		return c, nil
	}
	pem, err := os.ReadFile(f.ca)
	if err != nil {
		return nil, fmt.Errorf("--%s-tls-ca: %w", what, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("--%s-tls-ca %s: no certificate in the file: want PEM", what, f.ca)
	}
	c.RootCAs, c.ClientCAs, c.ClientAuth = pool, pool, tls.RequireAndVerifyClientCert
	return c, nil
}

// loadTLS completes the configuration with what the files hold.
func (c *serverConfig) loadTLS() error {
	var clientErr, peerErr error
	c.broker.ClientTLS, clientErr = c.clientTLS.config("client")
	c.broker.PeerTLS, peerErr = c.peerTLS.config("peer")
	if c.peerTLS.cert != "" && c.peerTLS.ca == "" {
		peerErr = errors.Join(peerErr, errors.New("--peer-tls-ca is missing: brokers know each other by the CA that signed their certificates"))
	}
	return errors.Join(clientErr, peerErr)
}
