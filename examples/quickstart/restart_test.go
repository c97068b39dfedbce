package main

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll/machineinfo/machineinfotest"
	"github.com/enrollkit/enrollkit/mdm/mdmtest"
)

// settingsOwner is the owner of a phone that enrolls from Settings, step by step.
type settingsOwner struct {
	phone   *mdmtest.Phone
	account *mdmtest.Account
}

// step is what an owner or a phone does, by name.
type step struct {
	name string
	do   func(context.Context) error
}

// steps are the way to the first command, in order.
func (o *settingsOwner) steps() []step {
	const user = "alice@example.com"
	return []step{
		{"discovery", func(ctx context.Context) (err error) {
			o.account, err = o.phone.Discover(ctx, user)
			return err
		}},
		{"challenge", func(ctx context.Context) error {
			_, err := o.account.RequestChallenge(ctx)
			return err
		}},
		{"login form", func(ctx context.Context) error {
			_, err := o.account.OpenSession(ctx)
			return err
		}},
		{"hand-back", func(ctx context.Context) error { return o.account.SignIn(ctx, user, password) }},
		{"token", func(ctx context.Context) error { return o.account.RequestToken(ctx) }},
		{"profile", func(ctx context.Context) error { return o.account.RequestProfile(ctx) }},
		{"identity", func(ctx context.Context) error {
			_, err := o.phone.ObtainIdentity(ctx)
			return err
		}},
		{"Authenticate", func(ctx context.Context) error { return o.phone.Authenticate(ctx) }},
		{"TokenUpdate", func(ctx context.Context) error { return o.phone.TokenUpdate(ctx) }},
		{"command", func(ctx context.Context) error {
			n, err := o.phone.Connect(ctx)
			if err == nil && n != 1 {
				err = errors.New("the policy did not come")
			}
			return err
		}},
	}
}

// TestRestartBetweenTheSteps kills the server after each step of the ways that
// begin in Settings; the phone goes on with the next one, and what is stored in
// the end is what is stored without.
func TestRestartBetweenTheSteps(t *testing.T) {
	for _, way := range []string{"account", "oauth2", "adde"} {
		t.Run(way, func(t *testing.T) {
			var undisturbed stored
			for _, restart := range []bool{false, true} {
				p := newProcess(t, dataDir(t))
				p.args = []string{"-way", way}
				p.start()
				ca, err := machineinfotest.LoadOrCreate(p.dir, machineinfotest.Config{})
				require.NoError(t, err)
				device, err := ca.Device()
				require.NoError(t, err)
				phone, err := mdmtest.New(mdmtest.Config{
					Transport: p.transport(), Roots: p.roots(), OSVersion: "26.1",
					Account: mdmtest.AccountConfig{Device: device, DomainURL: func(string) string { return crashBase }},
				})
				require.NoError(t, err)
				owner := &settingsOwner{phone: phone}
				for _, step := range owner.steps() {
					require.NoError(t, step.do(t.Context()), step.name)
					if restart {
						p.kill()
						p.start()
					}
				}
				require.Len(t, phone.Installed(), 1)
				state := p.state(1)
				require.Zero(t, p.stop())
				if !restart {
					undisturbed = state.normal()
					continue
				}
				require.Equal(t, undisturbed, state.normal())
			}
		})
	}
}

// TestDeviceAuthorityOfAnotherDirectory: a phone of another simulated authority
// is a stranger, and is not told how to sign in.
func TestDeviceAuthorityOfAnotherDirectory(t *testing.T) {
	w := open(t, "-way", "account")
	other, err := machineinfotest.LoadOrCreate(filepath.Join(t.TempDir(), "other"), machineinfotest.Config{})
	require.NoError(t, err)
	device, err := other.Device()
	require.NoError(t, err)
	p := w.phone(func(c *mdmtest.Config) {
		c.OSVersion, c.Account = "18.6", mdmtest.AccountConfig{Device: device, DomainURL: w.server.domainURL}
	})
	before := w.state()
	account, err := p.Discover(t.Context(), "alice@example.com")
	require.NoError(t, err)
	_, err = account.RequestChallenge(t.Context())
	var refused *mdmtest.RefusedError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, mdmtest.RefusedError{Step: "challenge", Status: 403}, *refused)
	require.Equal(t, before, w.state())
}
