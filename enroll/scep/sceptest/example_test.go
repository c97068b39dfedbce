package sceptest_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"time"

	"github.com/enrollkit/enrollkit/enroll/ca"
	"github.com/enrollkit/enrollkit/enroll/scep"
	"github.com/enrollkit/enrollkit/enroll/scep/sceptest"
)

// everyone is a scep.Redeemer that refuses nobody.
type everyone struct{}

func (everyone) Redeem(ctx context.Context, _ string, _ [32]byte, issue func(context.Context) (*x509.Certificate, error)) (*x509.Certificate, error) {
	return issue(ctx)
}

// A client asks as a phone does; a Message asks for what no phone would.
func Example() {
	ctx := context.Background()
	root, rootKey, err := ca.NewRoot("Example devices", 24*time.Hour, time.Now(), rand.Reader)
	must(err)
	authority, err := ca.New(ca.Config{Certificate: root, Key: rootKey})
	must(err)
	raKey, err := rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	ra, err := authority.IssueRA(raKey.Public(), "Example SCEP", 24*time.Hour)
	must(err)
	handler, err := scep.New(scep.Config{Issuer: authority, Redeemer: everyone{}, RA: ra, RAKey: raKey, Logger: slog.New(slog.DiscardHandler)})
	must(err)
	server := httptest.NewServer(handler)
	defer server.Close()

	key, err := rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	client := &sceptest.Client{HTTP: server.Client(), URL: server.URL}
	certificate, err := client.Enroll(ctx, key, "challenge")
	must(err)
	fmt.Println("issued by", certificate.Issuer)

	recipient, _, err := client.Authorities(ctx)
	must(err)
	request, err := sceptest.CertificateRequest(key, key.Public(), sceptest.RequestOptions{Challenges: []string{"two", "challenges"}})
	must(err)
	signer, err := sceptest.SelfSigned(key, pkix.Name{CommonName: "device"}, time.Now(), rand.Reader)
	must(err)
	message, err := sceptest.Message{
		TransactionID: "1", SenderNonce: make([]byte, 16), Content: request, Recipient: recipient, Signer: signer, Key: key,
	}.Marshal(rand.Reader)
	must(err)
	answer, err := client.Send(ctx, message, true)
	must(err)
	reply, err := sceptest.ParseReply(answer)
	must(err)
	fmt.Println("status", reply.Status, "failInfo", reply.FailInfo)
	// Output:
	// issued by CN=Example devices
	// status 2 failInfo 2
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
