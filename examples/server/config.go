package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/enrollkit/enrollkit/storage"
)

// config are the settings, by their names in the file. Names of files are
// relative to the directory of the file with the settings.
type config struct {
	// Listen is where devices and browsers, or the proxy, connect.
	Listen string `json:"listen"`
	// Admin is where health and readiness are asked for: not the internet's.
	Admin string `json:"admin"`
	// BaseURL is how devices and browsers reach this server: https and a host.
	BaseURL string `json:"base_url"`
	// Organization and Support are shown to people; Identifier is the reverse
	// domain of profiles, which never changes.
	Organization string `json:"organization"`
	Identifier   string `json:"identifier"`
	Support      string `json:"support"`
	// LogLevel is debug, info, warn or error.
	LogLevel string `json:"log_level"`
	// CookieKeys are files of 32 random bytes, the newest first.
	CookieKeys []string `json:"cookie_keys,omitzero"`
	// Policies is a directory of profiles: *.mobileconfig in it are for
	// everybody, those in a directory below it for the group of that name.
	Policies string `json:"policies"`

	Database         databaseConfig  `json:"database"`
	TLS              pairConfig      `json:"tls"`
	Proxy            proxyConfig     `json:"proxy"`
	SignIn           signInConfig    `json:"sign_in"`
	Signing          pairConfig      `json:"signing"`
	Devices          devicesConfig   `json:"devices"`
	Push             pushConfig      `json:"push"`
	Account          accountConfig   `json:"account"`
	DeviceEnrollment deviceConfig    `json:"device_enrollment"`
	Retention        retentionConfig `json:"retention"`
	Stop             stopConfig      `json:"stop"`

	dir string
}

type databaseConfig struct {
	DSN         string `json:"dsn"`
	Connections int    `json:"connections"`
	// Keys are files of 32 random bytes that seal secrets: the first seals, all
	// open.
	Keys []string `json:"keys,omitzero"`
}

// pairConfig names a certificate, with its chain below it, and its key: PEM.
type pairConfig struct {
	Certificate string `json:"certificate"`
	Key         string `json:"key"`
}

// proxyConfig is for plain HTTP behind a proxy that ends TLS.
type proxyConfig struct {
	// Trusted are the networks of proxies; others are not answered.
	Trusted []string `json:"trusted,omitzero"`
	// ClientCertificateHeader is where the proxy passes a device's certificate
	// on. Empty: devices sign their messages, and nothing else proves them.
	ClientCertificateHeader string `json:"client_certificate_header"`
}

// signInConfig is the registration at the identity provider.
type signInConfig struct {
	// Preset is entra, okta, google or generic.
	Preset           string   `json:"preset"`
	Issuer           string   `json:"issuer"`
	ClientID         string   `json:"client_id"`
	ClientSecret     string   `json:"client_secret"`
	ClientSecretFile string   `json:"client_secret_file"`
	Tenants          []string `json:"tenants,omitzero"`
	Domains          []string `json:"domains,omitzero"`
	RequireMFA       bool     `json:"require_mfa"`
	RequiredGroups   []string `json:"required_groups,omitzero"`
	GroupsClaim      string   `json:"groups_claim"`
	// Roots replaces the system's, for a provider of the company's own.
	Roots string `json:"roots"`
}

// devicesConfig is the authority that identifies devices. It is for nothing
// else.
type devicesConfig struct {
	CA pairConfig `json:"ca"`
	// RA answers SCEP, by a key of its own.
	RA pairConfig `json:"ra"`
	// Limit is how many devices a person may have; 0 is no limit.
	Limit int `json:"limit"`
}

type pushConfig struct {
	pairConfig
	// Host replaces Apple's, and Roots the system's, such as for a stand-in.
	Host  string `json:"host"`
	Roots string `json:"roots"`
	// Interval is how often the database is asked what other nodes left to do,
	// Lease for how long they leave alone what this one has begun.
	Interval duration `json:"interval"`
	Lease    duration `json:"lease"`
}

// accountConfig is account-driven enrollment, for the mail domains of the
// company.
type accountConfig struct {
	Domains []string `json:"domains,omitzero"`
	// DeviceCA is Apple's device CA, PEM.
	DeviceCA string `json:"device_ca"`
	// Method is apple-as-web or apple-oauth2.
	Method string `json:"method"`
}

// deviceConfig offers Device Enrollment to people of Groups.
type deviceConfig struct {
	Groups []string `json:"groups,omitzero"`
	// Families are sent there by service discovery: iPhone, iPad.
	Families []string `json:"families,omitzero"`
}

// retentionConfig is for how long the database remembers what is over.
type retentionConfig struct {
	// Keep is for commands, grants and tickets. Sign-ins and sessions go an hour
	// after their expiry, however long it is.
	Keep duration `json:"keep"`
	// Every is the time from one pruning to the next, on each node.
	Every duration `json:"every"`
}

type stopConfig struct {
	// Delay is for how long readiness says no, and all else goes on, before the
	// listener closes: until the load balancer has noticed.
	Delay duration `json:"delay"`
	// Limit is for how long requests may go on after that.
	Limit duration `json:"limit"`
}

// duration is a time.Duration, written "20s".
type duration time.Duration

// MarshalText implements encoding.TextMarshaler: an hour is "1h" and not "1h0m0s".
func (d duration) MarshalText() ([]byte, error) {
	text := time.Duration(d).String()
	for _, nothing := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, nothing) {
			text = text[:len(text)-2]
		}
	}
	return []byte(text), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return err
	}
	*d = duration(v)
	return nil
}

func defaults() config {
	return config{
		Listen: ":8443", Admin: "127.0.0.1:9443", LogLevel: "info",
		SignIn:    signInConfig{Preset: "generic"},
		Account:   accountConfig{Method: "apple-as-web"},
		Retention: retentionConfig{Keep: duration(storage.DefaultKeep), Every: duration(storage.DefaultEvery)},
		Stop:      stopConfig{Limit: duration(20 * time.Second)},
	}
}

// path is where a file of the configuration is.
func (c *config) path(name string) string {
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(c.dir, name)
}

func (c *config) level() slog.Level {
	var l slog.Level
	_ = l.UnmarshalText([]byte(c.LogLevel)) // judge complains
	return l
}

// judge looks at everything that needs no file and no other part's opinion.
func (c *config) judge(f *faults) {
	for _, s := range []struct{ name, value string }{
		{"base_url", c.BaseURL}, {"organization", c.Organization}, {"identifier", c.Identifier},
		{"database.dsn", c.Database.DSN}, {"sign_in.client_id", c.SignIn.ClientID},
		{"signing.certificate", c.Signing.Certificate}, {"signing.key", c.Signing.Key},
		{"devices.ca.certificate", c.Devices.CA.Certificate}, {"devices.ca.key", c.Devices.CA.Key},
		{"devices.ra.certificate", c.Devices.RA.Certificate}, {"devices.ra.key", c.Devices.RA.Key},
		{"push.certificate", c.Push.Certificate}, {"push.key", c.Push.Key},
	} {
		if s.value == "" {
			f.missing(s.name)
		}
	}
	if len(c.CookieKeys) == 0 {
		f.missing("cookie_keys")
	}
	if len(c.Database.Keys) == 0 {
		f.missing("database.keys")
	}
	if c.Database.DSN != "" {
		_, err := pgconn.ParseConfig(c.Database.DSN)
		f.add("database.dsn", err)
	}
	for _, s := range []struct{ name, value string }{{"listen", c.Listen}, {"admin", c.Admin}} {
		_, err := net.ResolveTCPAddr("tcp", s.value)
		f.add(s.name, err)
	}
	var l slog.Level
	f.add("log_level", l.UnmarshalText([]byte(c.LogLevel)))
	c.judgeNumbers(f)
	c.judgeTLS(f)
}

func (c *config) judgeNumbers(f *faults) {
	for _, s := range []struct {
		name  string
		value int64
	}{
		{"database.connections", int64(c.Database.Connections)}, {"devices.limit", int64(c.Devices.Limit)},
		{"push.interval", int64(c.Push.Interval)}, {"push.lease", int64(c.Push.Lease)},
		{"stop.delay", int64(c.Stop.Delay)}, {"stop.limit", int64(c.Stop.Limit)},
	} {
		if s.value < 0 {
			f.add(s.name, errNegative)
		}
	}
	if c.Retention.Keep < duration(storage.MinKeep) {
		f.add("retention.keep", fmt.Errorf("is under %v: before that a ticket may be in use", storage.MinKeep))
	}
	if c.Retention.Every <= 0 {
		f.add("retention.every", errors.New("must be positive"))
	}
}

// judgeTLS: either this server ends TLS, or a proxy that is named.
func (c *config) judgeTLS(f *faults) {
	own := c.TLS != pairConfig{}
	switch {
	case own && len(c.Proxy.Trusted) > 0:
		f.add("proxy.trusted", errBothTLS)
	case !own && len(c.Proxy.Trusted) == 0 && !f.unknown("proxy.trusted"):
		f.add("tls", errNoTLS)
	case own && (c.TLS.Certificate == "" || c.TLS.Key == ""):
		f.add("tls", errHalfPair)
	}
	if own && c.Proxy.ClientCertificateHeader != "" {
		f.add("proxy.client_certificate_header", errBothTLS)
	}
	for _, network := range c.Proxy.Trusted {
		_, err := netip.ParsePrefix(network)
		f.add("proxy.trusted", err)
	}
}
