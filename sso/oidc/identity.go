package oidc

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	goidc "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/sso"
)

const (
	leeway     = 2 * time.Minute  // for clocks that differ
	maxTokenAt = 10 * time.Minute // age of an ID token that was just asked for
	maxSubject = 255              // bytes, OpenID Connect Core 1.0, section 2
	maxGroup   = 256              // runes of a group's name
)

// refuse returns an error for a token that failed a check.
func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: id token: %s", sso.ErrCallback, fmt.Sprintf(format, args...))
}

// captured hands the key set's own error past go-oidc, which turns it into text.
type captured struct {
	keys *keySet
	err  error
}

// VerifySignature implements go-oidc's KeySet.
func (c *captured) VerifySignature(ctx context.Context, raw string) ([]byte, error) {
	payload, err := c.keys.verify(ctx, raw)
	c.err = err
	return payload, err
}

// identify verifies the ID token and says who signed in.
func (p *Provider) identify(ctx context.Context, rp *remote, token *oauth2.Token, nonce string) (jit.Identity, error) {
	raw, ok := token.Extra("id_token").(string)
	if !ok || raw == "" {
		return jit.Identity{}, refuse("missing")
	}
	if len(raw) > maxIDToken || strings.Count(raw, ".") != 2 {
		return jit.Identity{}, refuse("too large or not in compact form")
	}
	keys := &captured{keys: rp.keys}
	verified, err := goidc.NewVerifier(p.cfg.Issuer, keys, &goidc.Config{
		ClientID: p.cfg.ClientID, SupportedSigningAlgs: rp.algs, Now: p.cfg.Now,
		SkipIssuerCheck: p.templated(), // compared with the tenant's in identity
	}).Verify(ctx, raw)
	switch {
	case errors.Is(keys.err, sso.ErrUnavailable):
		return jit.Identity{}, keys.err
	case keys.err != nil:
		return jit.Identity{}, refuse("%v", keys.err)
	case err != nil:
		return jit.Identity{}, refuse("%s", short(err.Error()))
	}
	return p.judge(ctx, verified, token.AccessToken, nonce)
}

// judge makes every check of an ID token but those of go-oidc, and says who
// signed in.
func (p *Provider) judge(ctx context.Context, verified *goidc.IDToken, access, nonce string) (jit.Identity, error) {
	c, err := parseClaims(verified)
	if err != nil {
		return jit.Identity{}, err
	}
	if err := p.checkToken(c, verified, access, nonce); err != nil {
		return jit.Identity{}, err
	}
	id, err := p.identity(c, verified)
	if err != nil {
		return jit.Identity{}, err
	}
	if s := p.cfg.GroupSource; s != nil {
		if id.Groups, id.GroupState, err = s.Groups(ctx, id); err != nil {
			return jit.Identity{}, fmt.Errorf("oidc: group source: %w: %w", sso.ErrUnavailable, err)
		}
	}
	if err := p.checkRequirements(c, id); err != nil {
		return jit.Identity{}, err
	}
	return id, nil
}

// checkToken makes the checks that go-oidc leaves to its caller.
func (p *Provider) checkToken(c claims, t *goidc.IDToken, access, nonce string) error {
	now := p.cfg.Now()
	if subtle.ConstantTimeCompare([]byte(t.Nonce), []byte(nonce)) != 1 || c.text("nonce") != t.Nonce {
		return refuse("nonce does not match")
	}
	if azp, ok := c["azp"]; ok && azp != p.cfg.ClientID || !ok && len(t.Audience) > 1 {
		return refuse("authorized party (azp) is another client or missing")
	}
	if t.IssuedAt.After(now.Add(leeway)) || t.IssuedAt.Before(now.Add(-maxTokenAt)) {
		return refuse("iat is not about now")
	}
	if _, ok := c["at_hash"]; ok && t.VerifyAccessToken(access) != nil {
		return refuse("at_hash does not match the access token")
	}
	if !usable(t.Subject, maxSubject) || c.text("sub") != t.Subject || c.text("iss") != t.Issuer {
		return refuse("sub or iss is not usable")
	}
	if p.cfg.MaxAge > 0 {
		at, ok := c.time("auth_time")
		if !ok || at.After(now.Add(leeway)) || at.Before(now.Add(-p.cfg.MaxAge-leeway)) {
			return refuse("auth_time is missing or older than max_age")
		}
	}
	if v, ok := c["email_verified"]; ok {
		if _, boolean := v.(bool); !boolean {
			return refuse("email_verified is not a boolean")
		}
	}
	return nil
}

// identity takes over what the token says.
func (p *Provider) identity(c claims, t *goidc.IDToken) (jit.Identity, error) {
	id := jit.Identity{
		Issuer: p.cfg.Issuer, Subject: t.Subject,
		PreferredUsername: c.text("preferred_username"), Email: c.text("email"), Name: c.text("name"),
		EmailVerified: c["email_verified"] == true,
		Claims:        c,
	}
	id.AuthTime, _ = c.time("auth_time")
	id.Groups, id.GroupState = p.groups(c)
	switch p.cfg.Preset {
	case PresetEntra:
		tid, oid := strings.ToLower(c.text("tid")), c.text("oid")
		if !guid.MatchString(tid) || !usable(oid, maxSubject) {
			return jit.Identity{}, refuse("tid or oid is missing")
		}
		if t.Issuer != strings.ReplaceAll(p.cfg.Issuer, TenantPlaceholder, tid) {
			return jit.Identity{}, refuse("issuer is not that of the tenant")
		}
		id.Issuer, id.Subject = t.Issuer, oid
	case PresetGoogle:
		if !id.EmailVerified {
			id.Email = ""
			delete(c, "email")
		}
	}
	return id, nil
}

// groups returns the groups of the token and how much they say.
func (p *Provider) groups(c claims) ([]string, jit.GroupState) {
	name := p.cfg.GroupsClaim
	elsewhere, _ := c["_claim_names"].(map[string]any)
	_, marked := elsewhere[name]
	if has, ok := c["hasgroups"]; ok && name == "groups" && has != false && has != "false" {
		marked = true
	}
	var list []any
	switch v := c[name].(type) {
	case []any:
		list = v
	case string: // some providers send a single group so
		list = []any{v}
	case nil:
		if marked {
			return nil, jit.GroupsTruncated
		}
		return nil, jit.GroupsAbsent
	default:
		return nil, jit.GroupsTruncated
	}
	state := jit.GroupsPresent
	if marked || len(list) >= p.cfg.GroupsLimit {
		state = jit.GroupsTruncated
		list = list[:min(len(list), p.cfg.GroupsLimit)]
	}
	if len(list) == 0 && state == jit.GroupsPresent {
		return nil, jit.GroupsEmpty
	}
	var groups []string
	for _, g := range list {
		s, ok := g.(string)
		if !ok || !usable(s, maxGroup*utf8.UTFMax) || utf8.RuneCountInString(s) > maxGroup {
			state = jit.GroupsTruncated
			continue
		}
		if !slices.Contains(groups, s) {
			groups = append(groups, s)
		}
	}
	return groups, state
}

// claims are the claims of a verified ID token; numbers are json.Number.
type claims map[string]any

func parseClaims(t *goidc.IDToken) (claims, error) {
	var raw json.RawMessage
	if err := t.Claims(&raw); err != nil {
		return nil, refuse("claims are malformed")
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var c claims
	if err := d.Decode(&c); err != nil || c == nil {
		return nil, refuse("claims are malformed")
	}
	return c, nil
}

func (c claims) text(name string) string {
	s, _ := c[name].(string)
	return s
}

// list returns a claim that is a text or a list of texts.
func (c claims) list(name string) []string {
	switch v := c[name].(type) {
	case string:
		return []string{v}
	case []any:
		var out []string
		for _, e := range v {
			if s, ok := e.(string); ok {
				out = append(out, s)
			}
		}
		return out
	}
	return nil
}

// time returns a claim that is a NumericDate of a sane year.
func (c claims) time(name string) (time.Time, bool) {
	n, ok := c[name].(json.Number)
	if !ok {
		return time.Time{}, false
	}
	f, err := n.Float64()
	if err != nil || !(f > 0 && f < math.MaxInt32*2) {
		return time.Time{}, false
	}
	return time.Unix(int64(f), 0).UTC(), true
}

// usable is true for a text that can be stored and compared as it is.
func usable(s string, limit int) bool {
	return s != "" && len(s) <= limit && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}
