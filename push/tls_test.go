package push_test

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/push"
	"github.com/enrollkit/enrollkit/push/pushtest"
)

// TestCertificateRefusedInTLS: over a pipe, since a socket may lose the alert when
// the other side closes it with something unread.
func TestCertificateRefusedInTLS(t *testing.T) {
	for name, c := range map[string]struct {
		certificate func(*testing.T, *pushtest.Server) ([]byte, []byte)
	}{
		"expired": {func(t *testing.T, apns *pushtest.Server) ([]byte, []byte) {
			cert, key, err := apns.Issue(apns.Topic(), time.Now().AddDate(-2, 0, 0), time.Now().AddDate(-1, 0, 0))
			require.NoError(t, err)
			return cert, key
		}},
		"of another authority": {func(t *testing.T, _ *pushtest.Server) ([]byte, []byte) {
			other := pushtest.New(t, func(c *pushtest.Config) { c.Listener = newNetwork() })
			return other.PushCertificate()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				apns, n := inMemory(t)
				certificate, err := push.ParseCertificate(c.certificate(t, apns))
				require.NoError(t, err)
				client := newClient(t, apns, over(n), func(cfg *push.ClientConfig) { cfg.Certificate = certificate })
				for i := range 3 {
					answer, err := client.Push(t.Context(), device(1))
					refused, ok := errors.AsType[*push.RefusedError](err)
					require.True(t, ok, "%v", err)
					require.Equal(t, push.Answer{ID: answer.ID}, refused.Answer)
					require.ErrorContains(t, err, "certificate")
					require.Equal(t, i+1, n.dialed())
				}
				require.Zero(t, apns.Requests())
			})
		})
	}
}

func TestServerThatIsNotAPNs(t *testing.T) {
	t.Run("of another authority", func(t *testing.T) {
		apns := pushtest.New(t)
		client := newClient(t, apns, func(c *push.ClientConfig) { c.RootCAs = pushtest.New(t).RootCAs() })
		_, err := client.Push(t.Context(), device(1))
		_, ok := errors.AsType[*tls.CertificateVerificationError](err)
		require.True(t, ok, "%v", err)
		require.Zero(t, apns.Requests())
	})
	t.Run("without HTTP/2", func(t *testing.T) {
		web := httptest.NewUnstartedServer(http.NotFoundHandler())
		web.Config.ErrorLog = log.New(io.Discard, "", 0)
		web.StartTLS()
		defer web.Close()
		apns := pushtest.New(t)
		client := newClient(t, apns, func(c *push.ClientConfig) {
			c.Host = web.URL
			c.RootCAs.AddCert(web.Certificate())
		})
		_, err := client.Push(t.Context(), device(1))
		require.Error(t, err)
	})
}

func TestReplaceCertificate(t *testing.T) {
	apns := pushtest.New(t)
	client := newClient(t, apns)
	_, err := client.Push(t.Context(), device(1))
	require.NoError(t, err)

	stranger, err := push.ParseCertificate(issue(t, apns, "com.apple.mgmt.External.other"))
	require.NoError(t, err)
	before := client.Certificate()
	err = client.Replace(stranger)
	topic, ok := errors.AsType[*push.TopicError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, &push.TopicError{Certificate: stranger.Topic(), Enrolled: apns.Topic()}, topic)
	require.Same(t, before, client.Certificate())

	certPEM, keyPEM := issue(t, apns, apns.Topic())
	renewed, err := push.ParseCertificate(certPEM, keyPEM)
	require.NoError(t, err)
	require.NoError(t, client.Replace(renewed))
	require.Same(t, renewed, client.Certificate())
	_, err = client.Push(t.Context(), device(1))
	require.NoError(t, err)
	require.Equal(t, 2, apns.Connections(), "the old connection was made with the old certificate")
	pushes := apns.Pushes()
	require.Equal(t, digest(apns.PushCertificate()), pushes[0].Certificate)
	require.Equal(t, digest(certPEM, nil), pushes[1].Certificate)
}

// digest is the SHA-256 of a certificate.
func digest(certPEM, _ []byte) [32]byte {
	block, _ := pem.Decode(certPEM)
	return sha256.Sum256(block.Bytes)
}

func issue(t *testing.T, apns *pushtest.Server, topic string) ([]byte, []byte) {
	t.Helper()
	cert, key, err := apns.Issue(topic, time.Now().Add(-time.Hour), time.Now().AddDate(1, 0, 0))
	require.NoError(t, err)
	return cert, key
}
