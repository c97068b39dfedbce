package main

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/netip"

	"github.com/enrollkit/enrollkit/enroll/ca"
	"github.com/enrollkit/enrollkit/enroll/machineinfo"
	"github.com/enrollkit/enrollkit/enroll/scep"
	"github.com/enrollkit/enrollkit/mdm/policy"
	"github.com/enrollkit/enrollkit/profile"
	"github.com/enrollkit/enrollkit/push"
	"github.com/enrollkit/enrollkit/sso/oidc"
)

// parts are what the configuration names, read and found good.
type parts struct {
	tls     *tls.Config // nil: a proxy ends TLS
	trusted []netip.Prefix
	// roots are anchors of our TLS certificate that devices do not have.
	roots []*x509.Certificate

	cookieKeys, sealKeys [][]byte

	authenticator *oidc.Provider
	signer        *profile.Signer
	devices       *ca.CA
	identities    *x509.CertPool
	ra            *x509.Certificate
	raKey         scep.RAKey
	certificate   *push.Certificate
	pusher        *push.Client
	assignments   []policy.Assignment
	anchor        machineinfo.Anchor
}

// load reads everything, and notes all that is wrong.
func (c *config) load(faults *faults) parts {
	f := files{faults, c}
	p := parts{
		cookieKeys: f.keys("cookie_keys", c.CookieKeys),
		sealKeys:   f.keys("database.keys", c.Database.Keys),
	}
	for _, network := range c.Proxy.Trusted {
		if prefix, err := netip.ParsePrefix(network); err == nil {
			p.trusted = append(p.trusted, prefix)
		}
	}
	p.loadDevices(f)
	p.loadTLS(f)
	p.loadSigner(f)
	p.loadPush(f)
	p.loadSignIn(f)
	if c.Account.DeviceCA != "" {
		if b := f.read("account.device_ca", c.Account.DeviceCA); b != nil {
			var err error
			p.anchor, err = machineinfo.ParseAnchor(b)
			f.add("account.device_ca", err)
		}
	}
	if c.Policies != "" {
		var err error
		p.assignments, err = readPolicies(c.path(c.Policies))
		f.add("policies", err)
	}
	return p
}

func (p *parts) loadTLS(f files) {
	if f.c.TLS.Certificate == "" || f.c.TLS.Key == "" {
		return
	}
	pair := f.pair("tls", f.c.TLS)
	if pair == nil {
		return
	}
	if b := f.read("tls.certificate", f.c.TLS.Certificate); b != nil {
		p.roots = anchors(b)
	}
	p.tls = &tls.Config{
		Certificates: []tls.Certificate{*pair}, MinVersion: tls.VersionTLS12,
		// Devices may present their identity, which package mdm judges; browsers
		// have none of this authority and are not asked.
		ClientAuth: tls.RequestClientCert, ClientCAs: p.identities,
	}
}

func (p *parts) loadSigner(f files) {
	pair := f.pair("signing", f.c.Signing)
	if pair == nil {
		return
	}
	p.signer = make1(f, "signing", func() (*profile.Signer, error) {
		key, err1 := keyOf[crypto.Signer](pair)
		certificates, err2 := chain(pair)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		s, err := profile.NewSigner(key, certificates)
		if err != nil {
			return nil, err
		}
		return s, s.Ready()
	})
}

func (p *parts) loadDevices(f files) {
	if pair := f.pair("devices.ca", f.c.Devices.CA); pair != nil {
		p.devices = make1(f, "devices.ca", func() (*ca.CA, error) {
			key, err1 := keyOf[crypto.Signer](pair)
			certificates, err2 := chain(pair)
			if err := errors.Join(err1, err2); err != nil {
				return nil, err
			}
			return ca.New(ca.Config{Certificate: certificates[0], Key: key, Intermediates: certificates[1:]})
		})
	}
	if p.devices != nil {
		// The authority itself is the anchor: its parents may have issued more
		// than devices.
		p.identities = x509.NewCertPool()
		p.identities.AddCert(p.devices.Chain()[0])
	}
	if pair := f.pair("devices.ra", f.c.Devices.RA); pair != nil {
		p.raKey = make1(f, "devices.ra", func() (scep.RAKey, error) { return keyOf[scep.RAKey](pair) })
		p.ra = pair.Leaf
	}
}

func (p *parts) loadPush(f files) {
	roots := f.roots("push.roots", f.c.Push.Roots)
	certificate, key := f.read("push.certificate", f.c.Push.Certificate), f.read("push.key", f.c.Push.Key)
	if certificate == nil || key == nil {
		return
	}
	if p.certificate = make1(f, "push", func() (*push.Certificate, error) { return push.ParseCertificate(certificate, key) }); p.certificate == nil {
		return
	}
	p.pusher = make1(f, "push", func() (*push.Client, error) {
		return push.NewClient(push.ClientConfig{Certificate: p.certificate, Host: f.c.Push.Host, RootCAs: roots})
	})
}

// make1 makes a part, or notes why it could not.
func make1[T any](f files, setting string, makeIt func() (T, error)) T {
	part, err := makeIt()
	if err != nil {
		f.add(setting, err)
		var none T
		return none
	}
	return part
}
