package sceptest

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/enrollkit/enrollkit/internal/cms"
)

// maxAnswer bounds what is read of an answer.
const maxAnswer = 256 << 10

// FailureError is a CertRep of status FAILURE.
type FailureError struct {
	// FailInfo is the reason in decimal: "0" badAlg, "1" badMessageCheck,
	// "2" badRequest, "3" badTime, "4" badCertId.
	FailInfo string
}

func (e *FailureError) Error() string {
	return "sceptest: the server refused, failInfo " + e.FailInfo
}

// Client gets certificates as iOS does.
type Client struct {
	// HTTP sends the requests; required.
	HTTP *http.Client
	// URL of the service. A query in it is replaced, as by iOS.
	URL string
	// Name is the message of GetCACert and GetCACaps; empty leaves it out.
	Name string
	// Subject of the request, which a server is free to ignore. Defaults to the
	// common name "device".
	Subject pkix.Name
	// Now defaults to time.Now, Random to crypto/rand.
	Now    func() time.Time
	Random io.Reader
}

// Authorities asks GetCACert: the certificate that requests are encrypted to,
// and all that came.
func (c *Client) Authorities(ctx context.Context) (recipient *x509.Certificate, all []*x509.Certificate, err error) {
	kind, body, err := c.get(ctx, "GetCACert", c.Name)
	if err != nil {
		return nil, nil, err
	}
	switch kind {
	case "application/x-x509-ca-cert":
		cert, err := x509.ParseCertificate(body)
		if err != nil {
			return nil, nil, fmt.Errorf("sceptest: GetCACert: %w", err)
		}
		return cert, []*x509.Certificate{cert}, nil
	case "application/x-x509-ca-ra-cert":
		certs, err := cms.ParseDegenerate(body)
		if err != nil {
			return nil, nil, fmt.Errorf("sceptest: GetCACert: %w", err)
		}
		return certs[0], certs, nil
	default:
		return nil, nil, fmt.Errorf("sceptest: GetCACert: content type %q", kind)
	}
}

// Enroll asks for a certificate for key. A refusal is a *FailureError. Asking
// again with the same key is what a phone does whose answer was lost.
func (c *Client) Enroll(ctx context.Context, key *rsa.PrivateKey, challenge string) (*x509.Certificate, error) {
	now, random, subject := c.Now, c.Random, c.Subject
	if now == nil {
		now = time.Now
	}
	if random == nil {
		random = rand.Reader
	}
	if len(subject.ToRDNSequence()) == 0 {
		subject.CommonName = "device"
	}
	recipient, _, err := c.Authorities(ctx)
	if err != nil {
		return nil, err
	}
	_, text, err := c.get(ctx, "GetCACaps", c.Name)
	if err != nil {
		return nil, err
	}
	capabilities := strings.Fields(string(text))
	for _, need := range []string{"SHA-256", "AES"} {
		if !slices.Contains(capabilities, need) {
			return nil, fmt.Errorf("sceptest: the server does not offer %s", need)
		}
	}
	signer, err := SelfSigned(key, subject, now(), random)
	if err != nil {
		return nil, err
	}
	request, err := CertificateRequest(key, key.Public(), RequestOptions{Subject: subject, Challenges: []string{challenge}})
	if err != nil {
		return nil, err
	}
	id := sha256.Sum256(signer.RawSubjectPublicKeyInfo)
	nonce := make([]byte, 16)
	if _, err := io.ReadFull(random, nonce); err != nil {
		return nil, err
	}
	message := Message{
		TransactionID: hex.EncodeToString(id[:]), SenderNonce: nonce,
		Content: request, Recipient: recipient, Signer: signer, Key: key,
	}
	der, err := message.Marshal(random)
	if err != nil {
		return nil, err
	}
	answer, err := c.Send(ctx, der, slices.Contains(capabilities, "POSTPKIOperation"))
	if err != nil {
		return nil, err
	}
	reply, err := ParseReply(answer)
	if err != nil {
		return nil, err
	}
	switch {
	case !reply.Signer.Equal(recipient):
		return nil, errors.New("sceptest: the answer is signed by another certificate than GetCACert's first")
	case reply.TransactionID != message.TransactionID || !bytes.Equal(reply.RecipientNonce, nonce):
		return nil, errors.New("sceptest: the answer is to another request")
	case reply.Status == "2":
		return nil, &FailureError{reply.FailInfo}
	case reply.Status != "0":
		return nil, fmt.Errorf("sceptest: pkiStatus %q", reply.Status)
	}
	return reply.Certificate(signer, key)
}

// Send sends a PKIOperation by POST or GET and returns the bytes of the answer,
// if it is of the right type.
func (c *Client) Send(ctx context.Context, message []byte, post bool) ([]byte, error) {
	var kind string
	var body []byte
	var err error
	if post {
		kind, body, err = c.do(ctx, http.MethodPost, url.Values{"operation": {"PKIOperation"}}, message)
	} else {
		kind, body, err = c.get(ctx, "PKIOperation", base64.StdEncoding.EncodeToString(message))
	}
	if err != nil {
		return nil, err
	}
	if kind != "application/x-pki-message" {
		return nil, fmt.Errorf("sceptest: PKIOperation: content type %q", kind)
	}
	return body, nil
}

func (c *Client) get(ctx context.Context, operation, message string) (kind string, body []byte, err error) {
	query := url.Values{"operation": {operation}}
	if message != "" {
		query.Set("message", message)
	}
	return c.do(ctx, http.MethodGet, query, nil)
}

func (c *Client) do(ctx context.Context, method string, query url.Values, message []byte) (kind string, body []byte, err error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return "", nil, fmt.Errorf("sceptest: %w", err)
	}
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(message))
	if err != nil {
		return "", nil, fmt.Errorf("sceptest: %w", err)
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-pki-message")
	}
	res, err := c.HTTP.Do(req)
	if err != nil {
		return "", nil, fmt.Errorf("sceptest: %w", err)
	}
	defer res.Body.Close()
	body, err = io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return "", nil, fmt.Errorf("sceptest: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		// iOS does not look at the status, and cannot read such a body.
		return "", nil, fmt.Errorf("sceptest: %s: %s", query.Get("operation"), res.Status)
	}
	return res.Header.Get("Content-Type"), body, nil
}
