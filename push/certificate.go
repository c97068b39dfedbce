package push

import (
	"crypto/tls"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"time"
)

// maxPEM bounds the files of a push certificate in bytes.
const maxPEM = 64 << 10

// oidUserID is the attribute of the subject that holds the topic (RFC 4519 §2.39).
var oidUserID = asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}

// topicPattern is what a topic of MDM looks like. It becomes a header.
var topicPattern = regexp.MustCompile(`^com\.apple\.mgmt\.[A-Za-z0-9._-]{1,200}$`)

// ErrCertificate is every push certificate that cannot be used, for errors.Is.
var ErrCertificate = errors.New("push: push certificate")

// A TopicError is a push certificate whose topic is not the one that devices
// enrolled with. A device never changes its topic, so it does not hear from such
// a certificate. At identity.apple.com a certificate keeps its topic when it is
// renewed under the same Apple Account; a certificate that is created there has a
// new one.
type TopicError struct {
	// Certificate is the certificate's topic.
	Certificate string
	// Enrolled is the topic that devices enrolled with.
	Enrolled string
}

func (e *TopicError) Error() string {
	return fmt.Sprintf("push: the push certificate's topic is %q, but devices enrolled with %q: "+
		"renew the certificate that they enrolled with instead of creating one", e.Certificate, e.Enrolled)
}

// Certificate is the MDM push certificate with its private key
// (https://developer.apple.com/documentation/devicemanagement/setting-up-push-notifications-for-your-device-management-customers).
// It does not change.
type Certificate struct {
	pair  tls.Certificate
	topic string
}

// LoadCertificate reads a certificate and its private key from PEM files; they may
// be the same file. Errors wrap ErrCertificate.
func LoadCertificate(certFile, keyFile string) (*Certificate, error) {
	certPEM, err := readPEM(certFile)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	keyPEM, err := readPEM(keyFile)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	return ParseCertificate(certPEM, keyPEM)
}

func readPEM(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	b, err := io.ReadAll(io.LimitReader(f, maxPEM+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxPEM {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, maxPEM)
	}
	return b, nil
}

// ParseCertificate reads a certificate, with its chain if it has one, and its
// private key, both PEM and the key not encrypted. It says nothing about time, see
// DaysLeft. Errors wrap ErrCertificate.
func ParseCertificate(certPEM, keyPEM []byte) (*Certificate, error) {
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	c := &Certificate{pair: pair}
	for _, name := range pair.Leaf.Subject.Names {
		if !name.Type.Equal(oidUserID) {
			continue
		}
		topic, ok := name.Value.(string)
		switch {
		case !ok || !topicPattern.MatchString(topic):
			return nil, fmt.Errorf("%w: its user ID %q does not begin with com.apple.mgmt., so it is not one for MDM", ErrCertificate, fmt.Sprint(name.Value))
		case c.topic != "":
			return nil, fmt.Errorf("%w: it has several topics", ErrCertificate)
		}
		c.topic = topic
	}
	if c.topic == "" {
		return nil, fmt.Errorf("%w: its subject has no user ID (0.9.2342.19200300.100.1.1), so it is not one for MDM", ErrCertificate)
	}
	return c, nil
}

// Topic is what devices enroll with: the Topic of their MDM payload.
func (c *Certificate) Topic() string { return c.topic }

// NotAfter is when the certificate expires. From then on no device can be woken.
func (c *Certificate) NotAfter() time.Time { return c.pair.Leaf.NotAfter.UTC() }

// DaysLeft is how many whole days the certificate is still valid at now, negative
// when it has expired.
func (c *Certificate) DaysLeft(now time.Time) int {
	return int(math.Floor(c.pair.Leaf.NotAfter.Sub(now).Hours() / 24))
}

// CheckRenewal returns a *TopicError when next cannot stand in for c, because
// devices that enrolled with c would not hear from it.
func (c *Certificate) CheckRenewal(next *Certificate) error {
	if next.topic != c.topic {
		return &TopicError{Certificate: next.topic, Enrolled: c.topic}
	}
	return nil
}
