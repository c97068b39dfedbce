package main

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/enroll/discovery"
	"github.com/enrollkit/enrollkit/enroll/scep"
	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/mdm/policy"
	"github.com/enrollkit/enrollkit/push"
)

// node is one server of possibly many: nothing in it is needed by another one.
type node struct {
	config config
	parts  parts
	log    *slog.Logger

	database *database
	portal   *enroll.Portal
	devices  *mdm.Server
	worker   *push.Worker
	handler  http.Handler

	public, admin net.Listener // while it serves
	stopping      atomic.Bool
	checkLimit    time.Duration // of readiness
}

// newNode judges the configuration whole and puts the parts together. It
// touches nothing. f has the mistakes of reading the configuration; the error has
// those and all others.
func newNode(c config, f *faults, log *slog.Logger) (*node, error) {
	c.judge(f)
	n := &node{config: c, parts: c.load(f), log: log, database: &database{}, checkLimit: checkLimit}
	n.openPortal(f)
	n.mount(f)
	return n, f.err()
}

// openPortal makes the portal, or notes what it finds wrong.
func (n *node) openPortal(f *faults) {
	people, err := jit.New(jit.Config{Store: n.database, Logger: n.log})
	f.add("database", err)
	c := enroll.Config{
		Tickets: n.database, Sessions: n.database, States: n.database, Users: n.database,
		Provisioner: people, Authenticator: n.parts.authenticator, Signer: n.parts.signer,
		CookieKeys: n.parts.cookieKeys, BaseURL: n.config.BaseURL, Organization: n.config.Organization,
		Identifier: n.config.Identifier, Support: n.config.Support, Roots: n.parts.roots,
		DeviceLimit: n.config.Devices.Limit, Logger: n.log,
	}
	if n.parts.certificate != nil {
		c.Topic = n.parts.certificate.Topic()
	}
	if len(n.config.Account.Domains) > 0 {
		c.Account = &enroll.AccountConfig{
			Store: n.database, Anchor: n.parts.anchor, Method: enroll.AccountMethod(n.config.Account.Method),
		}
	}
	switch d := n.config.DeviceEnrollment; {
	case len(d.Groups) > 0:
		c.DeviceEnrollment = &enroll.DeviceEnrollment{Groups: d.Groups, Families: d.Families}
	case len(d.Families) > 0:
		f.add("device_enrollment.groups", errors.New("is missing: whose devices may be the company's"))
	}
	complete := f.err() == nil
	if n.portal, err = enroll.New(c); err == nil {
		return
	}
	for _, one := range each(err) {
		var e *enroll.ConfigError
		if !errors.As(one, &e) {
			f.join(one)
			continue
		}
		name, ours := portalSettings[e.Field]
		switch {
		case ours && !f.has(name):
			f.add(name, errors.New(e.Reason))
		case !ours && complete: // otherwise it is what could not be read
			f.add(e.Field, errors.New(e.Reason))
		}
	}
}

// portalSettings are our names of the portal's.
var portalSettings = map[string]string{
	"BaseURL": "base_url", "Organization": "organization", "Identifier": "identifier", "Support": "support",
	"Account.Anchor": "account.device_ca", "Account.Method": "account.method",
	"DeviceLimit": "devices.limit", "DeviceEnrollment.Families": "device_enrollment.families", "DeviceEnrollment.Groups": "device_enrollment.groups",
}

// each are the errors that were joined.
func each(err error) []error {
	var several interface{ Unwrap() []error }
	if errors.As(err, &several) {
		return several.Unwrap()
	}
	return []error{err}
}

// mount makes the other parts, as far as what they are made of is good, and puts
// the handlers together.
func (n *node) mount(f *faults) {
	planner, err := policy.New(policy.Config{Users: n.database, Assignments: n.parts.assignments, Logger: n.log})
	f.add("policies", err)
	identity := n.identity(f)
	where := n.discovery(f)
	n.openWorker(f)
	if f.err() != nil {
		return
	}
	n.devices, err = mdm.New(mdm.Config{
		Store: n.database, Identity: n.parts.identities, Topic: n.parts.certificate.Topic(), Planner: planner, Kick: n.worker.Kick,
		DeviceLimit: n.config.Devices.Limit, Challenger: n.portal, ProxyCertificate: n.proxyCertificate(), Logger: n.log,
	})
	if err != nil {
		f.add("devices", err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle(enroll.DefaultPrefix, n.portal)
	mux.Handle(enroll.DefaultPrefix+"/", n.portal)
	if where != nil {
		mux.Handle(discovery.Path, where)
	}
	mux.Handle("/scep", identity)
	mux.Handle("/mdm/", n.devices.Handler("/mdm"))
	mux.Handle("GET /{$}", http.RedirectHandler(enroll.DefaultPrefix, http.StatusSeeOther))
	n.handler = n.onlyProxies(n.database.whenOpen(mux))
}

// identity gives devices theirs.
func (n *node) identity(f *faults) *scep.Handler {
	if n.parts.devices == nil || n.parts.ra == nil || n.parts.raKey == nil {
		return nil
	}
	// The portal may be wrong yet: it is asked later, if ever.
	h, err := scep.New(scep.Config{Issuer: n.parts.devices, Redeemer: n.portal, RA: n.parts.ra, RAKey: n.parts.raKey, Logger: n.log})
	f.add("devices.ra", err)
	return h
}

// openWorker makes what wakes devices.
func (n *node) openWorker(f *faults) {
	if n.parts.pusher == nil || f.has("push.interval") || f.has("push.lease") {
		return
	}
	var err error
	n.worker, err = push.NewWorker(push.WorkerConfig{
		Store: n.database, Pusher: n.parts.pusher, Logger: n.log,
		Interval: time.Duration(n.config.Push.Interval), Lease: time.Duration(n.config.Push.Lease),
	})
	f.add("push", err)
}

// discovery tells devices that ask for a domain of the company where to enroll.
// The domain's own web server passes discovery.Path on to here. It is nil
// without a domain.
func (n *node) discovery(f *faults) *discovery.Handler {
	if len(n.config.Account.Domains) == 0 || n.portal == nil {
		return nil
	}
	org := discovery.Organization{Domains: n.config.Account.Domains, Families: map[discovery.Family]discovery.Version{}}
	for _, family := range []discovery.Family{discovery.IPhone, discovery.IPad} {
		org.Families[family] = discovery.BYOD
	}
	for _, family := range n.config.DeviceEnrollment.Families {
		org.Families[discovery.Family(family)] = discovery.ADDE
	}
	for _, version := range org.Families {
		if version == discovery.ADDE {
			org.ADDE = n.portal.AccountURL(true)
		} else {
			org.BYOD = n.portal.AccountURL(false)
		}
	}
	h, err := discovery.New(discovery.Config{Organizations: []discovery.Organization{org}, Logger: n.log})
	f.add("account.domains", err)
	return h
}

// proxyCertificate is where the proxy puts what devices present to it.
func (n *node) proxyCertificate() *mdm.ProxyCertificate {
	if n.config.Proxy.ClientCertificateHeader == "" {
		return nil
	}
	return &mdm.ProxyCertificate{Header: n.config.Proxy.ClientCertificateHeader, Trusted: n.trusts}
}

func (n *node) trusts(peer netip.Addr) bool {
	for _, network := range n.parts.trusted {
		if network.Contains(peer.Unmap()) {
			return true
		}
	}
	return false
}

// onlyProxies answers nobody else when others end TLS for us: what is spoken
// here is not encrypted.
func (n *node) onlyProxies(next http.Handler) http.Handler {
	if n.parts.tls != nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil || !n.trusts(peer.Addr()) {
			http.Error(w, "only through the proxy", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}
