package mdmtest

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/enrollkit/enrollkit/internal/cms"
)

// installWindow is how long iOS keeps a downloaded profile.
const installWindow = 8 * time.Minute

// waitingProfile is a downloaded profile in Settings.
type waitingProfile struct {
	profile  *EnrollmentProfile
	received time.Time
	account  *Account // that fetched it, nil when it was downloaded
	// attempt is the installation that was begun and not answered to its end.
	attempt *Identity
}

// SignIn opens the portal and signs in by the provider's form, up to the page
// that offers the profile.
func (p *Phone) SignIn(ctx context.Context, portal, username, password string) error {
	if _, err := p.Safari.Open(ctx, portal); err != nil {
		return err
	}
	if _, err := p.Safari.Follow(ctx, "/login"); err != nil {
		return err
	}
	page, err := p.Safari.Submit(ctx, map[string]string{"username": username, "password": password})
	if err != nil {
		return err
	}
	if !strings.HasSuffix(page.URL.Path, "/ready") {
		return fmt.Errorf("mdmtest: sign-in ended at %s: %s", page.URL.Path, page.Text())
	}
	return nil
}

// Download taps the profile button. The profile replaces the one that waits.
// Called again, it is a second download.
func (p *Phone) Download(ctx context.Context) ([]byte, error) {
	page, err := p.Safari.Follow(ctx, "/profile")
	if err != nil {
		return nil, err
	}
	if page.ContentType != profileType {
		return nil, fmt.Errorf("mdmtest: %s is %q and no profile", page.URL.Path, page.ContentType)
	}
	return page.Body, p.Receive(page.Body)
}

// Receive puts a downloaded profile in Settings, where it waits 8 minutes, and
// replaces the one that waits. What is no signed profile of User Enrollment or
// Device Enrollment is refused, and so is one of User Enrollment on iOS 18 and
// later; the one that waits stays.
func (p *Phone) Receive(raw []byte) error {
	signed, err := cms.VerifyProfile(raw, p.cfg.Roots, p.cfg.Now())
	if err != nil {
		return fmt.Errorf("mdmtest: profile signature: %w", err)
	}
	profile, err := ParseEnrollmentProfile(signed.Content)
	if err != nil {
		return err
	}
	if err := profile.judgeDownload(p.before(18, 0)); err != nil {
		return err
	}
	p.waiting = &waitingProfile{profile: profile, received: p.cfg.Now()}
	return nil
}

// Waiting is the profile that waits in Settings, nil when there is none.
func (p *Phone) Waiting() *EnrollmentProfile {
	if p.waiting == nil || p.cfg.Now().Sub(p.waiting.received) > installWindow {
		return nil
	}
	return p.waiting.profile
}

// Install goes the whole way from the waiting profile to the first TokenUpdate.
// After a failed Authenticate nothing stays on the phone, as on iOS: the next
// attempt begins with a new download.
func (p *Phone) Install(ctx context.Context) error {
	if _, err := p.ObtainIdentity(ctx); err != nil {
		return err
	}
	if err := p.Authenticate(ctx); err != nil {
		return err
	}
	return p.TokenUpdate(ctx)
}
