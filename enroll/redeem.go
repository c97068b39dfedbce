package enroll

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/enrollkit/enrollkit/enroll/scep"
)

var _ scep.Redeemer = (*Portal)(nil)

// Redeem implements scep.Redeemer: a download's challenge belongs to the first
// key that presents it, for as long as Clocks.Window and Clocks.Grace together,
// and redeeming it voids what earlier downloads of the ticket got.
func (p *Portal) Redeem(ctx context.Context, challenge string, key [32]byte, issue func(context.Context) (*x509.Certificate, error)) (*x509.Certificate, error) {
	digest := sha256.Sum256([]byte(challenge))
	der, err := p.cfg.Tickets.Challenge(ctx, digest, key, p.now())
	if err != nil {
		return nil, redeemError(err)
	}
	if der == nil {
		cert, err := issue(ctx)
		if err != nil {
			return nil, fmt.Errorf("enroll: identity: %w", err)
		}
		der, err = p.cfg.Tickets.Identify(ctx, IdentifyStep{
			Challenge: digest, Key: key, Certificate: cert.Raw, Digest: sha256.Sum256(cert.Raw),
			NotAfter: cert.NotAfter.UTC(), At: p.now(),
		})
		if err != nil {
			return nil, redeemError(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("enroll: stored identity: %w", err)
	}
	p.cfg.Observer.IdentityIssued(ctx, sha256.Sum256(cert.Raw), cert.NotAfter)
	return cert, nil
}

// redeemError says which errors of the store are the device's fault.
func redeemError(err error) error {
	for _, refused := range []error{ErrChallenge, ErrTicketExpired, ErrTicketSuperseded, ErrTicketSpent, ErrTicketExhausted, ErrUnknownTicket} {
		if errors.Is(err, refused) {
			return fmt.Errorf("%w: %w", scep.ErrRefused, err)
		}
	}
	return fmt.Errorf("enroll: challenge: %w", err)
}
