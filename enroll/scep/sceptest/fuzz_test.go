package sceptest_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll/ca"
	"github.com/enrollkit/enrollkit/enroll/scep"
	"github.com/enrollkit/enrollkit/enroll/scep/sceptest"
)

// tape notes the answers that come to a client.
type tape struct {
	next    http.RoundTripper
	answers [][]byte
}

// RoundTrip implements http.RoundTripper.
func (r *tape) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := r.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	r.answers = append(r.answers, b)
	return &http.Response{StatusCode: resp.StatusCode, Header: resp.Header, Body: io.NopCloser(bytes.NewReader(b))}, err
}

// picky is a scep.Redeemer that takes one challenge.
type picky struct{}

func (picky) Redeem(ctx context.Context, challenge string, _ [32]byte, issue func(context.Context) (*x509.Certificate, error)) (*x509.Certificate, error) {
	if challenge != "good" {
		return nil, scep.ErrRefused
	}
	return issue(ctx)
}

// FuzzParseReply: what is taken for an answer is signed, and complete.
func FuzzParseReply(f *testing.F) {
	root, rootKey, err := ca.NewRoot("Example devices", time.Hour, time.Now(), rand.Reader)
	require.NoError(f, err)
	authority, err := ca.New(ca.Config{Certificate: root, Key: rootKey})
	require.NoError(f, err)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(f, err)
	ra, err := authority.IssueRA(key.Public(), "Example SCEP", time.Hour)
	require.NoError(f, err)
	handler, err := scep.New(scep.Config{Issuer: authority, Redeemer: picky{}, RA: ra, RAKey: key, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(f, err)
	server := httptest.NewServer(handler)
	defer server.Close()
	heard := &tape{next: server.Client().Transport}
	client := &sceptest.Client{HTTP: &http.Client{Transport: heard}, URL: server.URL}
	_, err = client.Enroll(f.Context(), key, "good")
	require.NoError(f, err)
	_, err = client.Enroll(f.Context(), key, "bad")
	var refused *sceptest.FailureError
	require.True(f, errors.As(err, &refused))
	require.Len(f, heard.answers, 6)
	statuses := map[string]int{}
	for _, b := range heard.answers {
		f.Add(b)
		f.Add(b[:len(b)/2])
		if r, err := sceptest.ParseReply(b); err == nil {
			statuses[r.Status]++
		}
	}
	require.Equal(f, map[string]int{"0": 1, "2": 1}, statuses)
	phone, err := sceptest.SelfSigned(key, pkix.Name{CommonName: "device"}, time.Now(), rand.Reader)
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := sceptest.ParseReply(b)
		if err != nil {
			require.Nil(t, r)
			return
		}
		require.NotNil(t, r.Signer)
		require.Equal(t, r.Status == "2", r.FailInfo != "")
		cert, err := r.Certificate(phone, key)
		if err != nil {
			require.Nil(t, cert)
			return
		}
		require.True(t, key.PublicKey.Equal(cert.PublicKey.(crypto.PublicKey)))
	})
}
