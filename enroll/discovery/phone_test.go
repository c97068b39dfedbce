package discovery_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll/discovery"
	"github.com/enrollkit/enrollkit/enroll/machineinfo/machineinfotest"
	"github.com/enrollkit/enrollkit/internal/appleschema"
	"github.com/enrollkit/enrollkit/internal/appleschema/schematest"
	"github.com/enrollkit/enrollkit/mdm/mdmtest"
)

// The simulated phone, which is as strict as a real one, finds the server, or
// reads why not; every document is as Apple's schema says.
func TestAPhoneFindsTheServer(t *testing.T) {
	h, _ := newHandler(t)
	site := httptest.NewTLSServer(h)
	defer site.Close()
	ca, err := machineinfotest.NewSimulatedCA(machineinfotest.Config{Bits: 1024})
	require.NoError(t, err)
	device, err := ca.Device()
	require.NoError(t, err)
	judge := &schematest.Transport{T: t, Target: appleschema.Target{OS: "18.1"}, Base: site.Client().Transport}
	discover := func(product, identifier string) (mdmtest.Server, error) {
		phone, err := mdmtest.New(mdmtest.Config{
			Transport: judge, OSVersion: "18.1", Product: product,
			Account: mdmtest.AccountConfig{Device: device, DomainURL: func(string) string { return site.URL }},
		})
		require.NoError(t, err)
		account, err := phone.Discover(t.Context(), identifier)
		if err != nil {
			return mdmtest.Server{}, err
		}
		return account.Server, nil
	}
	for _, c := range []struct {
		product, identifier string
		want                mdmtest.Server
	}{
		{"iPhone17,2", "ada@example.com", mdmtest.Server{Version: "mdm-byod", BaseURL: byodURL}},
		{"iPhone17,2", "ada+work@example.com", mdmtest.Server{Version: "mdm-byod", BaseURL: byodURL}},
		{"iPhone17,2", "Ada@BÜCHER.example", mdmtest.Server{Version: "mdm-byod", BaseURL: byodURL}},
		{"iPad14,1", "ada@shop.example.org", mdmtest.Server{Version: "mdm-adde", BaseURL: addeURL}},
	} {
		got, err := discover(c.product, c.identifier)
		require.NoError(t, err, c.identifier)
		require.Equal(t, c.want, got)
	}
	for identifier, status := range map[string]int{"ada@example.net": http.StatusForbidden, "a b@example.com": http.StatusBadRequest} {
		_, err := discover("iPhone17,2", identifier)
		var refused *mdmtest.RefusedError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, status, refused.Status)
		if status == http.StatusForbidden {
			require.Equal(t, discovery.CodeFailed, refused.Code)
			require.NotEmpty(t, refused.Message)
		}
	}
	require.Equal(t, map[string]int{"discovery": 4, "error": 1}, judge.Seen())
}
