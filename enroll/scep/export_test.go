package scep

import (
	"crypto/rsa"
	"crypto/x509"
)

// ParseCSR reads a certificate request that signer's key sent.
func ParseCSR(der []byte, signer *x509.Certificate) (key *rsa.PublicKey, challenge string, err error) {
	c, err := parseCSR(der, signer)
	return c.key, c.challenge, err
}

// ChallengeOf reads the challengePassword of what a certificate request signs.
func ChallengeOf(tbs []byte) (string, error) { return challengeOf(tbs) }
