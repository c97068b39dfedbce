package mdmtest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/mdm/mdmtest"
)

const (
	webChallenge   = `Bearer method="apple-as-web", url="https://mdm.corp.example/enroll/t1/login/3fZ0"`
	oauthChallenge = `Bearer method="apple-oauth2", authorization-url="https://idp.example/authorize", token-url="https://idp.example/token", redirect-url="apple-remotemanagement-user-login:/oauth2/redirection", client-id="c", scope="MDM"`
)

func TestParseChallenge(t *testing.T) {
	web := &mdmtest.Challenge{Method: mdmtest.MethodWeb, URL: "https://mdm.corp.example/enroll/t1/login/3fZ0"}
	oauth := &mdmtest.Challenge{
		Method: mdmtest.MethodOAuth2, AuthorizationURL: "https://idp.example/authorize", TokenURL: "https://idp.example/token",
		RedirectURL: "apple-remotemanagement-user-login:/oauth2/redirection", ClientID: "c", Scope: "MDM",
	}
	without := *oauth
	without.Scope = ""
	for name, c := range map[string]struct {
		header string
		want   *mdmtest.Challenge // nil: refused
	}{
		"as Apple's sample":         {webChallenge, web},
		"space and no comma":        {strings.ReplaceAll(webChallenge, ",", ""), web},
		"comma and no space":        {strings.ReplaceAll(webChallenge, ", ", ","), web},
		"not quoted":                {`Bearer method=apple-as-web, url=https://mdm.corp.example/enroll/t1/login/3fZ0`, web},
		"one quoted":                {`Bearer method=apple-as-web url="https://mdm.corp.example/enroll/t1/login/3fZ0"`, web},
		"escaped in quotes":         {`Bearer method="apple\-as-web", url="https://mdm.corp.example/enroll/t1/login/3fZ0"`, web},
		"in another order":          {`Bearer url="https://mdm.corp.example/enroll/t1/login/3fZ0", method="apple-as-web"`, web},
		"more than is known":        {webChallenge + `, realm="x"`, web},
		"http":                      {`Bearer method="apple-as-web", url="http://mdm.corp.example/x"`, &mdmtest.Challenge{Method: mdmtest.MethodWeb, URL: "http://mdm.corp.example/x"}},
		"OAuth 2":                   {oauthChallenge, oauth},
		"OAuth 2 without scope":     {strings.Replace(oauthChallenge, `, scope="MDM"`, "", 1), &without},
		"empty":                     {"", nil},
		"scheme in lower case":      {strings.Replace(webChallenge, "Bearer", "bearer", 1), nil},
		"another scheme":            {strings.Replace(webChallenge, "Bearer", "Basic", 1), nil},
		"scheme alone":              {"Bearer", nil},
		"no method":                 {`Bearer url="https://mdm.corp.example/x"`, nil},
		"method in capitals":        {strings.Replace(webChallenge, "apple-as-web", "Apple-AS-Web", 1), nil},
		"no url":                    {`Bearer method="apple-as-web"`, nil},
		"a url of another scheme":   {`Bearer method="apple-as-web", url="ftp://mdm.corp.example/x"`, nil},
		"a url without a host":      {`Bearer method="apple-as-web", url="/login"`, nil},
		"quotes not closed":         {`Bearer method="apple-as-web", url="https://x.example`, nil},
		"ends in a backslash":       {`Bearer method="apple-as-web", url="https://x.example\`, nil},
		"a parameter twice":         {webChallenge + `, url="https://evil.example"`, nil},
		"no value":                  {"Bearer method", nil},
		"no name":                   {`Bearer ="x"`, nil},
		"no authorization-url":      {strings.Replace(oauthChallenge, "authorization-url", "x", 1), nil},
		"token-url in plain":        {strings.Replace(oauthChallenge, "https://idp.example/token", "http://idp.example/token", 1), nil},
		"redirect-url of the web":   {strings.Replace(oauthChallenge, "apple-remotemanagement-user-login:", "https://x.example", 1), nil},
		"redirect-url without path": {strings.Replace(oauthChallenge, "login:/oauth2/redirection", "login:", 1), nil},
		"no client-id":              {strings.Replace(oauthChallenge, `client-id="c"`, `client-id=""`, 1), nil},
		"too long":                  {webChallenge + strings.Repeat(" ", 16<<10), nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := mdmtest.ParseChallenge(c.header)
			require.Equal(t, c.want, got)
			if c.want == nil {
				require.ErrorIs(t, err, mdmtest.ErrChallenge)
			} else {
				require.NoError(t, err)
			}
		})
	}
}

// FuzzParseChallenge: what is accepted, written with quotes, is read as the same.
func FuzzParseChallenge(f *testing.F) {
	for _, s := range []string{webChallenge, oauthChallenge, `Bearer method=apple-as-web url=https://a.example`, "", "Bearer", `Bearer a="`, `Bearer a=\`} {
		f.Add(s)
	}
	quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	f.Fuzz(func(t *testing.T, s string) {
		c, err := mdmtest.ParseChallenge(s)
		if err != nil {
			require.Nil(t, c)
			require.ErrorIs(t, err, mdmtest.ErrChallenge)
			return
		}
		var b strings.Builder
		b.WriteString("Bearer method=" + c.Method)
		for name, value := range map[string]string{
			"url": c.URL, "authorization-url": c.AuthorizationURL, "token-url": c.TokenURL,
			"redirect-url": c.RedirectURL, "client-id": c.ClientID, "scope": c.Scope,
		} {
			fmt.Fprintf(&b, `, %s="%s"`, name, quote.Replace(value))
		}
		if b.Len() > 16<<10 {
			return
		}
		again, err := mdmtest.ParseChallenge(b.String())
		require.NoError(t, err)
		require.Equal(t, c, again)
	})
}

func ExampleParseChallenge() {
	c, err := mdmtest.ParseChallenge(`Bearer method="apple-as-web" url="https://mdm.example.com/enroll/login/3fZ0"`)
	fmt.Println(c.Method, c.URL, err)
	_, err = mdmtest.ParseChallenge(`bearer method="apple-as-web"`)
	fmt.Println(err)
	// Output:
	// apple-as-web https://mdm.example.com/enroll/login/3fZ0 <nil>
	// mdmtest: unusable challenge: it does not begin with Bearer
}
