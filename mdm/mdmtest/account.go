package mdmtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"

	"github.com/enrollkit/enrollkit/enroll/esso"
	"github.com/enrollkit/enrollkit/enroll/machineinfo/machineinfotest"
	"github.com/enrollkit/enrollkit/internal/cms"
	"github.com/enrollkit/enrollkit/internal/plist"
)

// AccountConfig is what matters when the phone enrolls by an account. Only
// Device is needed.
type AccountConfig struct {
	// Device is the identity that is built into the phone.
	Device *machineinfotest.Device
	// DomainURL is where the web site of a domain is. It defaults to
	// "https://" and the domain.
	DomainURL func(domain string) string
	// Fallback are the addresses that iOS 18.2 and later ask when a domain does
	// not answer usably, as real phones ask Apple. The query is added. There are
	// none by default.
	Fallback []string
	// Language defaults to en-GB.
	Language string
	// ExtraMachineInfo is added to the machine information, such as a UDID that
	// a broken device would send. A nil value removes a key.
	ExtraMachineInfo map[string]any
	// HandBack are the statuses of redirects by which a web session may end, for
	// servers that must be held to one of them. Nil is any redirect.
	HandBack []int
	// PrivateSession gives web sessions a browser of their own; otherwise they
	// have the cookies of Safari. Apple does not say which it is.
	PrivateSession bool
	// DeveloperMode is the switch Settings > Developer > Enrollment SSO.
	DeveloperMode bool
	// Apps are the numbers in the App Store of apps that the owner has
	// installed. An Enrollment SSO document that names one of them stops the
	// enrollment.
	Apps []int64
}

// Account is a work account that the owner signs in to, from its discovery to
// the end of the enrollment. The steps are methods, in this order: Discover of
// the Phone, RequestChallenge, SignIn, RequestToken, RequestProfile; then Install
// of the Phone. A step that failed may be called again.
type Account struct {
	// Identifier is what the owner typed.
	Identifier string
	// Server is what discovery found.
	Server Server
	// Challenge is the last one.
	Challenge *Challenge
	// Tokens are those that the phone sends and keeps.
	Tokens Tokens
	// SSO is the document of Enrollment SSO, nil without one.
	SSO *esso.Document
	// Profile is the one that RequestProfile took, as it came.
	Profile []byte
	// Session is the web session's browser, nil before the first.
	Session *Browser

	phone *Phone
	body  []byte // machine information, the same in both POSTs
	state string // of the OAuth 2 request under way
	code  string // handed back, not redeemed
}

// EnrollAccount goes the whole way by an account: from the identifier to the
// first TokenUpdate. The username and password are for the identity provider.
func (p *Phone) EnrollAccount(ctx context.Context, identifier, username, password string) (*Account, error) {
	a, err := p.Discover(ctx, identifier)
	if err != nil {
		return nil, err
	}
	if _, err := a.RequestChallenge(ctx); err != nil {
		return a, err
	}
	if err := a.SignIn(ctx, username, password); err != nil {
		return a, err
	}
	if err := a.RequestToken(ctx); err != nil {
		return a, err
	}
	if err := a.RequestProfile(ctx); err != nil {
		return a, err
	}
	return a, p.Install(ctx)
}

// RequestChallenge sends the machine information without a token. Everything but
// a 401 with a challenge ends the enrollment, a profile too. When the answer
// names a document of Enrollment SSO, it is fetched.
func (a *Account) RequestChallenge(ctx context.Context) (*Challenge, error) {
	status, header, body, err := a.post(ctx, "")
	if err != nil {
		return nil, err
	}
	if status != http.StatusUnauthorized {
		refused := &RefusedError{Step: "challenge", Status: status}
		refused.read(body)
		return nil, refused
	}
	if a.Challenge, err = a.phone.challenge(header); err != nil {
		return nil, err
	}
	return a.Challenge, a.fetchSSO(ctx, header)
}

// challenge reads the challenge of a 401.
func (p *Phone) challenge(header http.Header) (*Challenge, error) {
	c, err := ParseChallenge(joined(header.Values("WWW-Authenticate")))
	if err == nil && c.Method == MethodOAuth2 && p.before(16, 0) {
		return nil, fmt.Errorf("%w: iOS %s does not know %s", ErrChallenge, p.cfg.OSVersion, MethodOAuth2)
	}
	return c, err
}

// joined is a header as Apple's systems read it when it comes more than once.
func joined(values []string) string {
	var b bytes.Buffer
	for i, v := range values {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(v)
	}
	return b.String()
}

// RequestProfile sends the machine information again, with the token, and takes
// the profile. It may be called again with the same token: after a failed
// Authenticate nothing else is left of the enrollment.
func (a *Account) RequestProfile(ctx context.Context) error {
	if a.Tokens.Access == "" {
		return errors.New("mdmtest: there is no access token")
	}
	status, header, body, err := a.post(ctx, a.Tokens.Access)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		refused := &RefusedError{Step: "profile", Status: status}
		refused.read(body)
		return refused
	}
	if kind := header.Get("Content-Type"); kind != profileType || len(body) == 0 {
		return fmt.Errorf("%w: %d bytes of %q are no profile", ErrRefused, len(body), kind)
	}
	raw := body
	if body[0] != '<' {
		signed, err := cms.VerifyProfile(body, a.phone.cfg.Roots, a.phone.cfg.Now())
		if err != nil {
			return fmt.Errorf("mdmtest: profile signature: %w", err)
		}
		body = signed.Content
	}
	profile, err := ParseEnrollmentProfile(body)
	if err != nil {
		return err
	}
	if err := profile.judgeAccount(a.Server.Version); err != nil {
		return err
	}
	a.Profile = raw
	a.phone.waiting = &waitingProfile{profile: profile, received: a.phone.cfg.Now(), account: a}
	return nil
}

// post is the enrollment POST.
func (a *Account) post(ctx context.Context, token string) (status int, header http.Header, body []byte, err error) {
	if a.body == nil {
		if a.body, err = a.phone.machineInfo(); err != nil {
			return 0, nil, nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.Server.BaseURL, bytes.NewReader(a.body))
	if err != nil {
		return 0, nil, nil, fmt.Errorf("mdmtest: %w", err)
	}
	req.Header.Set("Content-Type", "application/pkcs7-signature")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return a.phone.client(req)
}

// machineInfo is the signed machine information, with the keys that a phone of
// this iOS sends.
func (p *Phone) machineInfo() ([]byte, error) {
	info := map[string]any{"PRODUCT": p.cfg.Product, "VERSION": p.cfg.Build, "LANGUAGE": p.cfg.Account.Language}
	if !p.before(17, 0) {
		info["OS_VERSION"] = p.cfg.OSVersion
		info["SUPPLEMENTAL_BUILD_VERSION"] = p.cfg.Build
	}
	if !p.before(17, 4) {
		info["SOFTWARE_UPDATE_DEVICE_ID"] = p.cfg.Product
	}
	maps.Copy(info, p.cfg.Account.ExtraMachineInfo)
	maps.DeleteFunc(info, func(_ string, v any) bool { return v == nil })
	content, err := plist.Marshal(info)
	if err != nil {
		return nil, fmt.Errorf("mdmtest: machine information: %w", err)
	}
	body, err := p.cfg.Account.Device.SignContent(content)
	if err != nil {
		return nil, fmt.Errorf("mdmtest: machine information: %w", err)
	}
	return body, nil
}
