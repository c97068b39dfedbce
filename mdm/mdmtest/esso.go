package mdmtest

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"

	"github.com/enrollkit/enrollkit/enroll/esso"
)

// ErrAppInstalled: the app of an Enrollment SSO document is on the phone
// already, as its owner's own, and cannot become a managed one.
var ErrAppInstalled = errors.New("mdmtest: the owner must delete the app that signs in, or enroll without it")

// fetchSSO fetches the document of Enrollment SSO that a challenge names for
// this phone's mode.
func (a *Account) fetchSSO(ctx context.Context, header http.Header) error {
	p := a.phone
	name, mode := esso.Header, esso.Standard
	if p.cfg.Account.DeveloperMode {
		name, mode = esso.DeveloperHeader, esso.Developer
	}
	where := header.Get(name)
	a.SSO = nil
	if where == "" || p.before(16, 0) {
		return nil
	}
	if !reaches(where, "https") {
		return fmt.Errorf("%w: %s is no https address", ErrRefused, name)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return fmt.Errorf("mdmtest: %w", err)
	}
	status, got, body, err := p.client(req)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return &RefusedError{Step: "sso", Status: status}
	}
	if kind, _, err := mime.ParseMediaType(got.Get("Content-Type")); err != nil || kind != "application/json" {
		return fmt.Errorf("%w: Enrollment SSO is of the type %q", ErrRefused, got.Get("Content-Type"))
	}
	document, err := esso.Parse(body, mode)
	if err != nil {
		return fmt.Errorf("mdmtest: %w", err)
	}
	if len(document.ConfigurationProfile) == 0 && p.before(18, 4) {
		return fmt.Errorf("%w: iOS %s needs a ConfigurationProfile", ErrRefused, p.cfg.OSVersion)
	}
	if mode == esso.Standard && slices.Contains(p.cfg.Account.Apps, document.ITunesStoreID) {
		return ErrAppInstalled
	}
	a.SSO = &document
	return nil
}
