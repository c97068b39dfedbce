package policy_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/cms"
	"github.com/enrollkit/enrollkit/internal/plist"
	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/mdm/policy"
	"github.com/enrollkit/enrollkit/profile"
)

// users maps a person to groups.
type users map[string][]string

func (u users) User(_ context.Context, id string) (jit.User, error) {
	groups, ok := u[id]
	if !ok {
		return jit.User{}, jit.ErrUnknownUser
	}
	return jit.User{ID: id, Groups: groups}, nil
}

func configuration(identifier, payloadType string) []byte {
	b, err := plist.Marshal(map[string]any{
		"PayloadType": "Configuration", "PayloadVersion": 1, "PayloadIdentifier": identifier, "PayloadUUID": "U",
		"PayloadContent": []any{map[string]any{"PayloadType": payloadType, "PayloadIdentifier": identifier + ".1"}},
	})
	if err != nil {
		panic(err)
	}
	return b
}

const sso = "com.apple.extensiblesso"

func TestPlanGivesEachPersonTheirGroupsConfigurations(t *testing.T) {
	p, err := policy.New(policy.Config{
		Users: users{"alice": {"byod", "engineering"}, "bob": {"contractors"}, "none": nil},
		Assignments: []policy.Assignment{
			{Name: "fonts", Profile: configuration("a.fonts", "com.apple.font")},
			{Group: "byod", Name: "microsoft", Profile: configuration("a.ms", sso), Claims: []string{"https://login.example"}},
			{Group: "engineering", Name: "microsoft", Profile: configuration("a.ms", sso), Claims: []string{"https://login.example"}},
			{Group: "contractors", Name: "custom", Profile: configuration("a.custom", sso), Claims: []string{"https://login.example"}},
		},
	})
	require.NoError(t, err)
	plan := func(enrollment, user string) []mdm.Command {
		commands, err := p.Plan(t.Context(), mdm.Enrollment{ID: enrollment, UserID: user})
		require.NoError(t, err)
		return commands
	}
	alice, bob := plan("E-1", "alice"), plan("E-2", "bob")
	require.Len(t, alice, 2, "everyone's, and one configuration of two groups once")
	require.Len(t, bob, 2)
	require.Len(t, plan("E-3", "none"), 1)
	require.Equal(t, alice, plan("E-1", "alice"), "a repeat plans the same UUIDs")
	require.NotEqual(t, alice[0].UUID, bob[0].UUID, "another enrollment, another command")
	for _, c := range append(alice, bob...) {
		require.Equal(t, "InstallProfile", c.RequestType)
		require.Contains(t, string(c.Payload), c.UUID)
	}

	_, err = p.Plan(t.Context(), mdm.Enrollment{ID: "E-4", UserID: "nobody"})
	require.ErrorIs(t, err, jit.ErrUnknownUser)
}

func TestPlanLeavesOutWhatClashesInOnePersonsGroups(t *testing.T) {
	var log strings.Builder
	p, err := policy.New(policy.Config{
		Users:  users{"both": {"a", "b"}},
		Logger: logger(&log),
		Assignments: []policy.Assignment{
			{Group: "a", Name: "first", Profile: configuration("x.first", sso), Claims: []string{"https://login.example"}},
			{Group: "b", Name: "second", Profile: configuration("x.second", sso), Claims: []string{"https://login.example"}},
		},
	})
	require.NoError(t, err, "nobody need be in both groups")
	commands, err := p.Plan(t.Context(), mdm.Enrollment{ID: "E", UserID: "both"})
	require.NoError(t, err)
	require.Len(t, commands, 1)
	require.Contains(t, log.String(), "first")
	require.Contains(t, log.String(), "second")
}

func TestNewRefuses(t *testing.T) {
	ok := configuration("a.b", sso)
	for _, test := range []struct {
		name        string
		users       policy.Users
		assignments []policy.Assignment
		want        error
		says        []string
	}{
		{"no users", nil, nil, policy.ErrConfig, []string{"Users"}},
		{"no name", users{}, []policy.Assignment{{Profile: ok}}, policy.ErrConfig, []string{"Name"}},
		{"no identifier", users{}, []policy.Assignment{{Name: "n", Profile: configuration("", sso)}}, policy.ErrConfig, []string{"PayloadIdentifier"}},
		{"not a profile", users{}, []policy.Assignment{{Name: "n", Profile: []byte("bplist00")}}, mdm.ErrForbidden, []string{"n"}},
		{"forbidden payload", users{}, []policy.Assignment{{Name: "n", Profile: configuration("a.b", "com.apple.vpn.managed")}}, mdm.ErrForbidden, []string{"com.apple.vpn.managed"}},
		{"one name, two profiles", users{}, []policy.Assignment{{Name: "n", Profile: ok}, {Group: "g", Name: "n", Profile: configuration("c.d", sso)}}, policy.ErrConfig, []string{"two configurations"}},
		{"clash in a group", users{}, []policy.Assignment{
			{Group: "g", Name: "one", Profile: ok, Claims: []string{"https://h"}},
			{Group: "g", Name: "two", Profile: configuration("c.d", sso), Claims: []string{"https://h"}},
		}, profile.ErrClash, []string{"one", "two", "https://h"}},
		{"clash with everyone's", users{}, []policy.Assignment{
			{Name: "one", Profile: ok, Claims: []string{"h"}},
			{Group: "g", Name: "two", Profile: configuration("c.d", sso), Claims: []string{"h"}},
		}, profile.ErrClash, []string{"one", "two"}},
		{"one identifier", users{}, []policy.Assignment{{Name: "one", Profile: ok}, {Name: "two", Profile: configuration("a.b", "com.apple.font")}}, profile.ErrClash, []string{"a.b"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, err := policy.New(policy.Config{Users: test.users, Assignments: test.assignments})
			require.Nil(t, p)
			require.ErrorIs(t, err, test.want)
			for _, s := range test.says {
				require.ErrorContains(t, err, s)
			}
		})
	}
}

func TestASignedProfileIsReadInsideItsSignature(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "signer"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	signed := func(payloadType string) []byte {
		b, err := cms.Sign(configuration("a.b", payloadType), key, []*x509.Certificate{cert}, cms.SignOptions{})
		require.NoError(t, err)
		return b
	}
	plan := func() []mdm.Command { // ECDSA signs differently each time
		p, err := policy.New(policy.Config{Users: users{"u": nil}, Assignments: []policy.Assignment{{Name: "n", Profile: signed(sso)}}})
		require.NoError(t, err)
		commands, err := p.Plan(t.Context(), mdm.Enrollment{ID: "E", UserID: "u"})
		require.NoError(t, err)
		return commands
	}
	require.Equal(t, plan()[0].UUID, plan()[0].UUID, "the UUID follows from the content, not from the signature")

	_, err = policy.New(policy.Config{Users: users{}, Assignments: []policy.Assignment{{Name: "n", Profile: signed("com.apple.vpn.managed")}}})
	require.ErrorIs(t, err, mdm.ErrForbidden)
}

// redirects is a profile with one SSO extension for these URLs.
func redirects(t *testing.T, name string, urls ...string) *profile.Profile {
	t.Helper()
	common := profile.Common{Type: "Configuration", Version: 1, Identifier: "com.example." + name, UUID: profile.UUID(name), DisplayName: name}
	inner := common
	inner.Type, inner.Identifier, inner.UUID = sso, common.Identifier+".extension", profile.UUID(name, "extension")
	return &profile.Profile{Common: common, Content: []profile.Payload{profile.Custom{Common: inner, Values: map[string]any{"Type": "Redirect", "URLs": urls}}}}
}

func TestClaimsAreReadOffTheProfile(t *testing.T) {
	assign := func(group string, p *profile.Profile) policy.Assignment {
		a, err := policy.Assign(group, p)
		require.NoError(t, err)
		require.Equal(t, p.DisplayName, a.Name)
		return a
	}
	one, two := redirects(t, "one", "https://login.example.com"), redirects(t, "two", "https://other.example.com", "https://LOGIN.example.com/")
	p, err := policy.New(policy.Config{Users: users{}, Assignments: []policy.Assignment{assign("g", one), assign("", two)}})
	require.Nil(t, p)
	var clash *profile.ClashError
	require.ErrorAs(t, err, &clash)
	require.Equal(t, profile.ClashError{First: "one", Second: "two", Claim: "the URL https://login.example.com"}, *clash)

	_, err = policy.New(policy.Config{Users: users{}, Assignments: []policy.Assignment{assign("g", one), assign("h", two)}})
	require.NoError(t, err, "nobody need be in both groups")

	_, err = policy.Assign("g", &profile.Profile{Common: profile.Common{DisplayName: "a\x01"}})
	require.Error(t, err)
}

func ExamplePolicy_Plan() {
	p, err := policy.New(policy.Config{
		Users: users{"alice": {"byod"}},
		Assignments: []policy.Assignment{
			{Group: "byod", Name: "sso", Profile: configuration("com.example.sso", sso), Claims: []string{"https://login.example.com"}},
			{Group: "contractors", Name: "fonts", Profile: configuration("com.example.fonts", "com.apple.font")},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	commands, err := p.Plan(context.Background(), mdm.Enrollment{ID: "9B7E", UserID: "alice"})
	fmt.Println(len(commands), commands[0].RequestType, err)
	// Output: 1 InstallProfile <nil>
}
