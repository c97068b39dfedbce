package enroll_test

import (
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/sso/oidc"
	"github.com/enrollkit/enrollkit/storage/memory"
)

// minimal is a configuration with nothing but what is required.
func minimal(t testing.TB) enroll.Config {
	t.Helper()
	store := memory.New()
	auth, err := oidc.New(oidc.Config{Issuer: "https://idp.example.com", ClientID: "enrollkit"})
	require.NoError(t, err)
	people, err := jit.New(jit.Config{Store: store})
	require.NoError(t, err)
	signer, _ := newSigner(t, time.Now)
	return enroll.Config{
		Tickets: store, Sessions: store, States: store, Users: store, Provisioner: people, Authenticator: auth, Signer: signer,
		CookieKeys: [][]byte{make([]byte, enroll.CookieKeySize)}, BaseURL: "https://mdm.example.com",
		Organization: "Example Inc.", Identifier: "com.example.enroll", Topic: topic,
	}
}

func TestNew(t *testing.T) {
	p, err := enroll.New(minimal(t))
	require.NoError(t, err)
	require.Equal(t, "https://mdm.example.com/enroll", p.URL())
	require.Equal(t, "https://mdm.example.com/enroll/callback", p.CallbackURL())
}

func TestNewNamesEveryMistake(t *testing.T) {
	mistakes := func(c enroll.Config) (fields []string) {
		p, err := enroll.New(c)
		require.Nil(t, p)
		for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
			var bad *enroll.ConfigError
			require.True(t, errors.As(e, &bad), "%v", e)
			require.NotEmpty(t, bad.Reason)
			require.Equal(t, "enroll: Config."+bad.Field+" "+bad.Reason, bad.Error())
			fields = append(fields, bad.Field)
		}
		return fields
	}
	require.ElementsMatch(t, []string{
		"Tickets", "Sessions", "States", "Users", "Provisioner", "Authenticator", "Signer", "CookieKeys", "BaseURL",
	}, mistakes(enroll.Config{}), "what is judged by an address waits for one")
	require.ElementsMatch(t, []string{
		"Tickets", "Sessions", "States", "Users", "Provisioner", "Authenticator", "Signer", "CookieKeys", "Organization", "Identifier", "Topic",
	}, mistakes(enroll.Config{BaseURL: "https://mdm.example.com"}))

	whole := minimal(t)
	for name, c := range map[string]struct {
		field string
		edit  func(*enroll.Config)
	}{
		"plain http":             {"BaseURL", func(c *enroll.Config) { c.BaseURL = "http://mdm.example.com" }},
		"a path":                 {"BaseURL", func(c *enroll.Config) { c.BaseURL = "https://mdm.example.com/" }},
		"a user":                 {"BaseURL", func(c *enroll.Config) { c.BaseURL = "https://a@mdm.example.com" }},
		"no host":                {"BaseURL", func(c *enroll.Config) { c.BaseURL = "https://" }},
		"a short cookie key":     {"CookieKeys", func(c *enroll.Config) { c.CookieKeys = [][]byte{make([]byte, 31)} }},
		"prefix without a slash": {"Prefix", func(c *enroll.Config) { c.Prefix = "enroll" }},
		"prefix with one behind": {"Prefix", func(c *enroll.Config) { c.Prefix = "/enroll/" }},
		"prefix that climbs":     {"Prefix", func(c *enroll.Config) { c.Prefix = "/../x" }},
		"a window iOS lacks":     {"Clocks.Window", func(c *enroll.Config) { c.Clocks = enroll.Clocks{Wait: time.Minute, Window: 9 * time.Minute} }},
		"a window of nothing":    {"Clocks.Window", func(c *enroll.Config) { c.Clocks = enroll.Clocks{Wait: time.Minute} }},
		"no time to wait":        {"Clocks.Wait", func(c *enroll.Config) { c.Clocks = enroll.Clocks{Window: time.Minute} }},
		"negative grace":         {"Clocks.Grace", func(c *enroll.Config) { c.Clocks = enroll.Clocks{Wait: 1, Window: 1, Grace: -1} }},
		"negative downloads":     {"MaxDownloads", func(c *enroll.Config) { c.MaxDownloads = -1 }},
		"negative age":           {"MaxAge", func(c *enroll.Config) { c.MaxAge = -1 }},
		"negative limit":         {"DeviceLimit", func(c *enroll.Config) { c.DeviceLimit = -1 }},
		"negative poll":          {"PollInterval", func(c *enroll.Config) { c.PollInterval = -1 }},
		"endless support":        {"Support", func(c *enroll.Config) { c.Support = strings.Repeat("a", 257) }},
		"control character":      {"DisplayName", func(c *enroll.Config) { c.DisplayName = "a\x01" }},
		"a megabyte":             {"Description", func(c *enroll.Config) { c.Description = strings.Repeat("a", 1<<20) }},
		"a query":                {"ServerURL", func(c *enroll.Config) { c.ServerURL = "https://mdm.example.com/?user=alice" }},
		"plain http check-in":    {"CheckInURL", func(c *enroll.Config) { c.CheckInURL = "http://mdm.example.com/" }},
		"no URL for SCEP":        {"SCEPURL", func(c *enroll.Config) { c.SCEPURL = "scep" }},
		"foreign topic":          {"Topic", func(c *enroll.Config) { c.Topic = "com.example" }},
		"no reverse domain":      {"Identifier", func(c *enroll.Config) { c.Identifier = "enroll" }},
		"a root that is none":    {"Roots[0]", func(c *enroll.Config) { c.Roots = []*x509.Certificate{nil} }},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := whole
			c.edit(&cfg)
			require.Equal(t, []string{c.field}, mistakes(cfg))
		})
	}
}

func TestConfigIsKept(t *testing.T) {
	_, root := newSigner(t, time.Now)
	w := newWorld(t, func(c *enroll.Config) {
		c.Prefix = "/de/enroll"
		c.Clocks = enroll.Clocks{Wait: time.Minute, Window: 2 * time.Second}
		c.Roots = []*x509.Certificate{root}
		c.SCEPURL = "https://scep.example.com/x"
		c.Ownership = func(u jit.User, _ mdm.Way) enroll.Ownership {
			if u.Subject == "bob-2" {
				return enroll.OwnershipCompany
			}
			return enroll.OwnershipPersonal
		}
	})
	b := w.browser(iPhone17)
	a := b.get(b.begin("bob@example.com"))
	require.Equal(t, "/de/enroll/ready", a.to())
	require.Equal(t, enroll.OwnershipCompany, w.state().Tickets[0].Ownership)
	require.Contains(t, b.cookies(), "__Host-de-enroll-session")
	require.Contains(t, b.get("/ready").body, `href="/de/enroll/profile"`)
	plain := string(b.download())
	require.Contains(t, plain, "com.apple.security.root")
	require.Contains(t, plain, "https://scep.example.com/x")
	require.Contains(t, b.get("/status").body, `"left":2,"of":2`)
	require.Equal(t, 404, b.do("GET", w.server.URL+"/enroll", nil).StatusCode)
}
