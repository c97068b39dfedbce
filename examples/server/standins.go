package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/enrollkit/enrollkit/push/pushtest"
	"github.com/enrollkit/enrollkit/sso/ssotest"
)

// password is everybody's in a trial.
const password = "password"

// users can sign in. Only Alice may make her device the company's.
var users = []ssotest.User{
	{Username: "alice@example.com", Password: password, Subject: "u-alice", Email: "alice@example.com", Name: "Alice Example", Groups: []string{"byod", "engineering"}},
	{Username: "bob@example.com", Password: password, Subject: "u-bob", Email: "bob@example.com", Name: "Bob Example", Groups: []string{"contractors"}},
}

// standIns are what a company has elsewhere: an identity provider, and Apple's
// push service. They end with the process that made them; further nodes use
// them by the settings in a file.
type standIns struct {
	*devFiles

	config string // the file with the settings
	apns   *pushtest.Server
	idp    *http.Server
	ended  chan struct{} // the identity provider has
}

// openStandIns starts them and completes the settings. deliver is told of each
// push, and may be nil.
func openStandIns(ctx context.Context, dir string, c *config, deliver func(pushtest.Push)) (_ *standIns, err error) {
	devAddress(c)
	c.Organization, c.Identifier = devOrganization, "com.example.trial"
	c.Account.Domains = []string{"example.com"}
	c.DeviceEnrollment = deviceConfig{Groups: []string{"engineering"}}
	s := &standIns{ended: make(chan struct{})}
	if s.devFiles, err = makeDevFiles(dir, c); err != nil {
		return nil, err
	}
	if err := s.openPushes(ctx, deliver); err != nil {
		return nil, err
	}
	if err := s.openProvider(ctx); err != nil {
		return nil, errors.Join(err, s.apns.Close())
	}
	if s.config, err = s.save(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// openPushes starts the APNs stand-in. Its topic stays, since devices never
// change theirs; the certificate is another one each time, as after a renewal.
func (s *standIns) openPushes(ctx context.Context, deliver func(pushtest.Push)) error {
	topic, err := keep(s.dir, "push-topic", newTopic)
	if err != nil {
		return err
	}
	if s.apns, err = pushtest.Open(pushtest.Config{Topic: string(topic), Deliver: deliver}); err != nil {
		return err
	}
	certificate, key := s.apns.PushCertificate()
	root, err := rootOf(ctx, s.apns, certificate, key)
	if err == nil {
		err = errors.Join(put(filepath.Join(s.dir, "push.pem"), certificate),
			put(filepath.Join(s.dir, "push.key"), key), put(filepath.Join(s.dir, "push-roots.pem"), encode(root)))
	}
	if err != nil {
		return errors.Join(err, s.apns.Close())
	}
	s.c.Push = pushConfig{
		pairConfig: pairConfig{"push.pem", "push.key"}, Host: s.apns.URL(), Roots: "push-roots.pem",
		// The stand-in is next door, and a node that was killed must not keep its
		// devices for long.
		Interval: duration(time.Second), Lease: duration(4 * time.Second),
	}
	return nil
}

// rootOf is the certificate that the stand-in's chains to.
func rootOf(ctx context.Context, apns *pushtest.Server, certificate, key []byte) (*x509.Certificate, error) {
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, err
	}
	dialer := tls.Dialer{Config: &tls.Config{
		RootCAs: apns.RootCAs(), Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12,
	}}
	conn, err := dialer.DialContext(ctx, "tcp", apns.URL()[len("https://"):])
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }() // it was only looked at
	secured, ok := conn.(*tls.Conn)
	if !ok {
		return nil, fmt.Errorf("a %T is no TLS connection", conn)
	}
	verified := secured.ConnectionState().VerifiedChains[0]
	return verified[len(verified)-1], nil
}

// newTopic is what Apple puts into a push certificate.
func newTopic() ([]byte, error) {
	b := make([]byte, 16)
	if _, err := rand.Read(b); err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "com.apple.mgmt.External.%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]), nil
}

// openProvider starts the identity provider, by the address that stands in
// sign_in.issuer already.
func (s *standIns) openProvider(ctx context.Context) error {
	const id, path = "trial", "/idp"
	addr := s.c.SignIn.Issuer[len("https://") : len(s.c.SignIn.Issuer)-len(path)]
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	secret := rand.Text()
	issuer := "https://" + listener.Addr().String() + path
	provider, err := ssotest.Open(ssotest.Config{
		Issuer: issuer, Users: users,
		Clients: []ssotest.Client{{ID: id, Secret: secret, RedirectURIs: []string{s.c.BaseURL + "/enroll/callback"}}},
	})
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	s.c.SignIn = signInConfig{Preset: "generic", Issuer: issuer, ClientID: id, ClientSecret: secret, Roots: "ca.pem"}
	s.idp = &http.Server{Handler: provider, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		defer close(s.ended)
		_ = s.idp.ServeTLS(listener, filepath.Join(s.dir, "tls-chain.pem"), filepath.Join(s.dir, "tls.key")) // until close
	}()
	return nil
}

// close ends both.
func (s *standIns) close() {
	_ = errors.Join(s.idp.Close(), s.apns.Close()) // nothing is lost with them
	<-s.ended
}
