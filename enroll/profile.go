package enroll

import (
	"bytes"
	"crypto/sha256"
	"net/http"
	"strings"

	"github.com/enrollkit/enrollkit/profile"
)

// profile serves the signed profile of the session's ticket, with a challenge of
// its own each time. It answers 200 with a profile, or something else.
func (p *Portal) profile(w http.ResponseWriter, r *http.Request) error {
	v, err := p.visitor(r)
	if err != nil {
		return err
	}
	if v.session == nil {
		return p.redirect(w, r, "")
	}
	t, err := p.cfg.Tickets.Ticket(r.Context(), v.session.Ticket)
	if err != nil {
		return stored("ticket", err)
	}
	if !p.cfg.mayDownload(v.agent, v.button, t.Way) || !p.offers(t.Way, v.user) {
		return p.redirect(w, r, "/ready")
	}
	if err := p.refusal(t); err != nil {
		return err
	}
	if err := p.cfg.Signer.Ready(); err != nil {
		return err
	}
	if prefetched(r) {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	h := w.Header()
	h.Set("Content-Disposition", `attachment; filename="enroll.mobileconfig"`)
	if r.Method == http.MethodHead {
		h.Set("Content-Type", profile.ContentType)
		w.WriteHeader(http.StatusOK)
		return nil
	}
	signed, err := p.download(r, v, t)
	if err != nil {
		h.Del("Content-Disposition")
		return err
	}
	send(w, http.StatusOK, profile.ContentType, bytes.NewBuffer(signed))
	return nil
}

// download makes a profile with a new challenge, and counts it. Nothing is
// counted that cannot be signed, and nothing leaves that is not counted.
func (p *Portal) download(r *http.Request, v visitor, t Ticket) ([]byte, error) {
	challenge, err := p.secret()
	if err != nil {
		return nil, err
	}
	target := 0
	if v.agent.Device != "" {
		target = v.agent.Major
	}
	signed, err := p.signedProfile(t.Way, v.user, challenge, target)
	if err != nil {
		return nil, err
	}
	t, err = p.cfg.Tickets.Download(r.Context(), DownloadStep{
		TicketID: t.ID, Challenge: sha256.Sum256([]byte(challenge)), At: p.now(),
		Clocks: p.cfg.Clocks, MaxDownloads: p.cfg.MaxDownloads, MaxAge: p.cfg.MaxAge,
	})
	if err != nil {
		return nil, stored("download", err)
	}
	p.cfg.Observer.TicketMoved(r.Context(), t)
	p.cfg.Logger.InfoContext(r.Context(), "enroll: profile downloaded", "ticket", t.Ref, "way", string(t.Way), "downloads", t.Downloads)
	return signed, nil
}

// prefetched reports whether nobody tapped: a browser or a messenger looks ahead.
func prefetched(r *http.Request) bool {
	for _, name := range []string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"} {
		for _, value := range r.Header.Values(name) {
			kind, _, _ := strings.Cut(strings.ToLower(value), ";")
			switch strings.TrimSpace(kind) {
			case "prefetch", "preview", "prerender":
				return true
			}
		}
	}
	return false
}
