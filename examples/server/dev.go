package main

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/enrollkit/enrollkit/enroll/ca"
	"github.com/enrollkit/enrollkit/enroll/machineinfo/machineinfotest"
	ssoextension "github.com/enrollkit/enrollkit/sso/extension"
)

const (
	decade = 10 * 365 * 24 * time.Hour
	// tlsLifetime is well below the 825 days that Apple's systems accept.
	tlsLifetime = 397 * 24 * time.Hour
	// devOrganization is who runs a trial.
	devOrganization = "Example Inc."
)

// devFiles makes in a directory what a company has, and what is missing in it
// only: authorities, keys, a policy. c names them afterwards.
type devFiles struct {
	dir string
	c   *config
	// web issues for TLS and for signing profiles: ca.pem.
	web *ca.CA
	// phones certifies what simulated devices are built with.
	phones *machineinfotest.CA
}

func makeDevFiles(dir string, c *config) (*devFiles, error) {
	base, err := url.Parse(c.BaseURL)
	if err != nil {
		return nil, &fault{setting: "base_url", err: err}
	}
	d := &devFiles{dir: dir, c: c}
	if d.web, err = openCA(dir, "ca", "enrollkit trial CA"); err != nil {
		return nil, err
	}
	devices, err := openCA(dir, "identity-ca", "enrollkit trial devices")
	if err != nil {
		return nil, err
	}
	c.Devices.CA = pairConfig{"identity-ca.pem", "identity-ca.key"}
	c.Devices.RA, err = d.issued("scep-ra", devices, func(public crypto.PublicKey) (*x509.Certificate, error) {
		return devices.IssueRA(public, "enrollkit trial RA", decade)
	})
	if err != nil {
		return nil, err
	}
	c.Signing, err = d.issued("profile-signing", d.web, func(public crypto.PublicKey) (*x509.Certificate, error) {
		return d.web.IssueSigning(public, devOrganization, decade)
	})
	if err != nil {
		return nil, err
	}
	if c.TLS, err = d.tls(base.Hostname()); err != nil {
		return nil, err
	}
	if d.phones, err = machineinfotest.LoadOrCreate(dir, machineinfotest.Config{}); err != nil {
		return nil, err
	}
	c.Account.DeviceCA = "device-ca.pem"
	for file, list := range map[string]*[]string{"cookie.key": &c.CookieKeys, "seal.key": &c.Database.Keys} {
		if _, err := keep(dir, file, randomKey); err != nil {
			return nil, err
		}
		*list = []string{file}
	}
	c.Policies = "policies"
	return d, d.policy()
}

func openCA(dir, name, commonName string) (*ca.CA, error) {
	cert, key, err := ca.LoadOrCreate(dir, name, func() (*x509.Certificate, crypto.Signer, error) {
		return ca.NewRoot(commonName, decade, time.Now(), rand.Reader)
	})
	if err != nil {
		return nil, err
	}
	return ca.New(ca.Config{Certificate: cert, Key: key})
}

// issued is a certificate with its key, and that of its authority in the same
// file, as a file with a chain has it.
func (d *devFiles) issued(name string, by *ca.CA, issue func(crypto.PublicKey) (*x509.Certificate, error)) (pairConfig, error) {
	leaf, _, err := ca.LoadOrCreate(d.dir, name, func() (*x509.Certificate, crypto.Signer, error) {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return nil, nil, err
		}
		cert, err := issue(key.Public())
		return cert, key, err
	})
	if err != nil {
		return pairConfig{}, err
	}
	bundle := append(encode(leaf), encode(by.Chain()[0])...)
	return pairConfig{name + "-chain.pem", name + ".key"}, put(filepath.Join(d.dir, name+"-chain.pem"), bundle)
}

// tls is the certificate of this server and of the identity provider. It is made
// again for another host, and when it is old.
func (d *devFiles) tls(host string) (pairConfig, error) {
	const name = "tls"
	hosts := []string{"localhost", "127.0.0.1", "::1", host}
	if b, err := os.ReadFile(filepath.Join(d.dir, name+".pem")); err == nil && !serves(b, hosts) {
		if err := os.Remove(filepath.Join(d.dir, name+".pem")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return pairConfig{}, err
		}
	}
	return d.issued(name, d.web, func(public crypto.PublicKey) (*x509.Certificate, error) {
		return d.web.IssueTLS(public, hosts, tlsLifetime)
	})
}

func serves(b []byte, hosts []string) bool {
	block, _ := pem.Decode(b)
	if block == nil {
		return false
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return false
	}
	for _, h := range hosts {
		if leaf.VerifyHostname(h) != nil {
			return false
		}
	}
	return time.Until(leaf.NotAfter) > tlsLifetime/4
}

// policy puts a first profile where more can be put, for a group that half of
// the people are in.
func (d *devFiles) policy() error {
	dir := filepath.Join(d.dir, "policies", "byod")
	if _, err := os.Stat(filepath.Dir(dir)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	p, err := ssoextension.Profile(ssoextension.Config{
		Organization: devOrganization, Identifier: "com.example.trial.sso", DisplayName: "Microsoft sign-in",
	}, ssoextension.Microsoft{})
	if err != nil {
		return err
	}
	b, err := p.Marshal()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return put(filepath.Join(dir, "sign-in"+extension), b)
}

// save writes the settings for further nodes.
func (d *devFiles) save() (string, error) {
	b, err := json.MarshalIndent(d.c, "", "\t")
	if err != nil {
		return "", err
	}
	file := filepath.Join(d.dir, "server.json")
	return file, put(file, append(b, '\n'))
}

// keep returns what is kept in a file, or keeps what makeIt makes.
func keep(dir, name string, makeIt func() ([]byte, error)) ([]byte, error) {
	file := filepath.Join(dir, name)
	b, err := os.ReadFile(file)
	if !errors.Is(err, fs.ErrNotExist) {
		return b, err
	}
	if b, err = makeIt(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return b, put(file, b)
}

// put writes a file for us alone, whole or not at all.
func put(file string, b []byte) error {
	if before, err := os.ReadFile(file); err == nil && bytes.Equal(before, b) {
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(file), ".new-*") // of mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

func randomKey() ([]byte, error) {
	b := make([]byte, keySize)
	_, err := rand.Read(b)
	return b, err
}

func encode(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}

// devAddress is where a trial listens unless told otherwise: not where everybody
// can come.
func devAddress(c *config) {
	if c.Listen == defaults().Listen {
		c.Listen = net.JoinHostPort("127.0.0.1", "8443")
	}
	if c.BaseURL == "" {
		c.BaseURL = "https://" + c.Listen
	}
}
