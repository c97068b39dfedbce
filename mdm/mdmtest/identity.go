package mdmtest

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"

	"github.com/enrollkit/enrollkit/enroll/scep/sceptest"
	"github.com/enrollkit/enrollkit/internal/cms"
)

// Identity is the phone's place in management while a profile is installed.
type Identity struct {
	// EnrollmentID is new with each enrollment; empty under Device Enrollment.
	EnrollmentID string
	// UDID is the device's under Device Enrollment, and empty otherwise.
	UDID        string
	Key         *rsa.PrivateKey
	Certificate *x509.Certificate
	Profile     *EnrollmentProfile

	account *Account // whose token comes with every request; nil for none
}

// ID is how the device is called in messages: EnrollmentID, or UDID.
func (i *Identity) ID() string { return i.EnrollmentID + i.UDID }

// Digest is the SHA-256 of the identity certificate.
func (i *Identity) Digest() [32]byte { return sha256.Sum256(i.Certificate.Raw) }

// Identity is the phone's identity, nil when it is not managed.
func (p *Phone) Identity() *Identity { return p.identity }

// ObtainIdentity begins the installation of the waiting profile: a new key, a
// new EnrollmentID, and a certificate by SCEP. When no answer came it may be
// called again: the installation goes on, with the same key. When the server
// refused (a *sceptest.FailureError), the installation failed and the profile is
// gone. One that waited over 8 minutes is ErrProfileExpired; without one it is
// ErrNoProfile.
func (p *Phone) ObtainIdentity(ctx context.Context) (*Identity, error) {
	if p.waiting == nil {
		return nil, ErrNoProfile
	}
	if p.waiting.attempt == nil {
		if p.waiting.account == nil && p.cfg.Now().Sub(p.waiting.received) > installWindow {
			p.waiting = nil
			return nil, ErrProfileExpired
		}
		id, err := p.attempt(p.waiting.profile)
		if err != nil {
			return nil, err
		}
		id.account = p.waiting.account
		p.waiting.attempt = id
	}
	id := p.waiting.attempt
	client := &sceptest.Client{HTTP: p.http, URL: id.Profile.SCEP.URL, Name: id.Profile.SCEP.Name, Now: p.cfg.Now, Random: p.cfg.Random}
	cert, err := client.Enroll(ctx, id.Key, id.Profile.SCEP.Challenge)
	var refused *sceptest.FailureError
	if errors.As(err, &refused) {
		p.waiting = nil
	}
	if err != nil {
		return nil, err
	}
	id.Certificate = cert
	p.identity, p.waiting.attempt = id, nil
	if p.cfg.TLSIdentity {
		p.presentIdentity(id)
	}
	return id, nil
}

// attempt makes what an installation makes anew.
func (p *Phone) attempt(profile *EnrollmentProfile) (*Identity, error) {
	key, err := rsa.GenerateKey(p.cfg.Random, profile.SCEP.Keysize)
	if err != nil {
		return nil, fmt.Errorf("mdmtest: key: %w", err)
	}
	if !profile.UserEnrollment() {
		return &Identity{UDID: p.cfg.UDID, Key: key, Profile: profile}, nil
	}
	id, err := p.uuid()
	if err != nil {
		return nil, err
	}
	return &Identity{EnrollmentID: id, Key: key, Profile: profile}, nil
}

// presentIdentity lets the device's connections, and not the browser's, offer
// the identity.
func (p *Phone) presentIdentity(id *Identity) {
	transport := p.cfg.Transport.(*http.Transport).Clone() //nolint:forcetypeassert // judged by New
	if transport.TLSClientConfig == nil {
		transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	transport.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return &tls.Certificate{Certificate: [][]byte{id.Certificate.Raw}, PrivateKey: id.Key, Leaf: id.Certificate}, nil
	}
	p.http = &http.Client{Transport: p.cfg.lossy(transport)}
}

// Sign makes the value of an Mdm-Signature header over body, in the phone's
// shape; it is empty with SignatureNone.
func (p *Phone) Sign(body []byte) (string, error) {
	if p.identity == nil {
		return "", ErrNoProfile
	}
	var opt cms.SignOptions
	switch p.cfg.Signature {
	case SignatureBER:
		opt = cms.SignOptions{Detached: true, NoAttributes: true, BER: true, Digest: crypto.SHA1}
	case SignatureDER:
		opt = cms.SignOptions{Detached: true, Time: p.cfg.Now()}
	default:
		return "", nil
	}
	der, err := cms.Sign(body, p.identity.Key, []*x509.Certificate{p.identity.Certificate}, opt)
	if err != nil {
		return "", fmt.Errorf("mdmtest: signing: %w", err)
	}
	return base64.StdEncoding.EncodeToString(der), nil
}
