package main

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/enrollkit/enrollkit/enroll/ca"
	"github.com/enrollkit/enrollkit/enroll/machineinfo/machineinfotest"
	"github.com/enrollkit/enrollkit/profile"
)

const (
	decade = 10 * 365 * 24 * time.Hour
	// tlsLifetime is well below the 825 days that Apple's systems accept.
	tlsLifetime = 397 * 24 * time.Hour
)

// authorities are the CAs of the data directory and what they issued to this
// server. A certificate of the one is no device of the other.
type authorities struct {
	dir string
	// web issues for TLS and for signing profiles: ca.pem.
	web *ca.CA
	// devices issues identities: identity-ca.pem.
	devices *ca.CA
	// ra answers SCEP in the name of devices, by a key of its own.
	ra    *x509.Certificate
	raKey *rsa.PrivateKey
	// signer signs profiles.
	signer *profile.Signer
	// phones certifies what simulated devices are built with: device-ca.pem. Of
	// real ones Apple does, and no server makes such an authority.
	phones *machineinfotest.CA
}

func openAuthorities(dir string) (*authorities, error) {
	a := &authorities{dir: dir}
	var err error
	if a.web, err = openCA(dir, "ca", "enrollkit quickstart CA"); err != nil {
		return nil, err
	}
	if a.devices, err = openCA(dir, "identity-ca", "enrollkit quickstart devices"); err != nil {
		return nil, err
	}
	ra, key, err := a.issued("scep-ra", func(public crypto.PublicKey) (*x509.Certificate, error) {
		return a.devices.IssueRA(public, "enrollkit quickstart RA", decade)
	})
	if err != nil {
		return nil, err
	}
	a.ra, a.raKey = ra, key
	if a.phones, err = machineinfotest.LoadOrCreate(dir, machineinfotest.Config{}); err != nil {
		return nil, err
	}
	leaf, key, err := a.issued("profile-signing", func(public crypto.PublicKey) (*x509.Certificate, error) {
		return a.web.IssueSigning(public, "enrollkit quickstart", decade)
	})
	if err != nil {
		return nil, err
	}
	a.signer, err = profile.NewSigner(key, []*x509.Certificate{leaf, a.root()})
	return a, err
}

func openCA(dir, name, commonName string) (*ca.CA, error) {
	cert, key, err := ca.LoadOrCreate(dir, name, func() (*x509.Certificate, crypto.Signer, error) {
		return ca.NewRoot(commonName, decade, time.Now(), rand.Reader)
	})
	if err != nil {
		return nil, err
	}
	return ca.New(ca.Config{Certificate: cert, Key: key})
}

// issued is a certificate, with its key, that is kept under a name.
func (a *authorities) issued(name string, issue func(crypto.PublicKey) (*x509.Certificate, error)) (*x509.Certificate, *rsa.PrivateKey, error) {
	cert, key, err := ca.LoadOrCreate(a.dir, name, func() (*x509.Certificate, crypto.Signer, error) {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return nil, nil, err
		}
		cert, err := issue(key.Public())
		return cert, key, err
	})
	if err != nil {
		return nil, nil, err
	}
	private, ok := key.(*rsa.PrivateKey)
	if !ok {
		return nil, nil, fmt.Errorf("%s: the key is a %T and not RSA", name, key)
	}
	return cert, private, nil
}

// root is ca.pem.
func (a *authorities) root() *x509.Certificate { return a.web.Chain()[0] }

// roots trust what ca.pem issued.
func (a *authorities) roots() *x509.CertPool { return pool(a.root()) }

// identities are what device identities chain to.
func (a *authorities) identities() *x509.CertPool { return pool(a.devices.Chain()[0]) }

func pool(cert *x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(cert)
	return p
}

// tls is the listener's configuration, for these hosts. Devices may present
// their identity, which package mdm judges; browsers are not asked for another
// certificate than one of the identity CA, which they do not have.
func (a *authorities) tls(hosts ...string) (*tls.Config, error) {
	const name = "tls"
	find := func() (*x509.Certificate, *rsa.PrivateKey, error) {
		return a.issued(name, func(public crypto.PublicKey) (*x509.Certificate, error) {
			return a.web.IssueTLS(public, hosts, tlsLifetime)
		})
	}
	leaf, key, err := find()
	if err == nil && !serves(leaf, hosts) { // of another base URL, or old
		if err = os.Remove(filepath.Join(a.dir, name+".pem")); err == nil || errors.Is(err, fs.ErrNotExist) {
			leaf, key, err = find()
		}
	}
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.Raw, a.root().Raw}, PrivateKey: key, Leaf: leaf}},
		ClientAuth:   tls.RequestClientCert,
		ClientCAs:    a.identities(),
		MinVersion:   tls.VersionTLS12,
	}, nil
}

func serves(leaf *x509.Certificate, hosts []string) bool {
	for _, h := range hosts {
		if leaf.VerifyHostname(h) != nil {
			return false
		}
	}
	return time.Until(leaf.NotAfter) > tlsLifetime/4
}
