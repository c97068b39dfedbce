package oidc

import (
	"slices"
	"strings"

	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/sso"
)

// checkRequirements refuses people whom the configuration keeps out. What the
// token does not prove counts as not so.
func (p *Provider) checkRequirements(c claims, id jit.Identity) error {
	deny := func(r sso.Reason, detail string) error { return &sso.DeniedError{Reason: r, Detail: detail} }

	if p.cfg.Preset == PresetEntra {
		if tid := strings.ToLower(c.text("tid")); tid == consumerTenant || !slices.Contains(p.cfg.AllowedTenants, tid) {
			return deny(sso.ReasonTenant, "tid is not an allowed tenant")
		}
	}
	if len(p.cfg.AllowedDomains) > 0 && !slices.Contains(p.cfg.AllowedDomains, p.domain(c, id)) {
		return deny(sso.ReasonDomain, "domain is not allowed, or not proven")
	}
	if p.cfg.RequireMFA {
		if v := p.cfg.ACRValues; len(v) > 0 && !slices.Contains(v, c.text("acr")) {
			return deny(sso.ReasonMFA, "acr does not prove a second factor")
		}
		if v := p.cfg.AMRValues; len(v) > 0 && !slices.ContainsFunc(c.list("amr"), func(s string) bool { return slices.Contains(v, s) }) {
			return deny(sso.ReasonMFA, "amr does not prove a second factor")
		}
		if v := p.cfg.AuthContext; v != "" && !slices.Contains(c.list("acrs"), v) {
			return deny(sso.ReasonMFA, "acrs does not prove a second factor")
		}
	}
	if len(p.cfg.RequiredGroups) == 0 {
		return nil
	}
	switch id.GroupState {
	case jit.GroupsPresent:
		for _, g := range p.cfg.RequiredGroups {
			if !slices.Contains(id.Groups, g) {
				return deny(sso.ReasonGroup, "not a member of a required group")
			}
		}
		return nil
	case jit.GroupsEmpty:
		return deny(sso.ReasonGroup, "not a member of any group")
	case jit.GroupsTruncated:
		return deny(sso.ReasonGroupsTruncated, "provider did not list all groups")
	default:
		return deny(sso.ReasonGroupsAbsent, "provider sent no groups")
	}
}

// domain returns the person's proven domain in lower case, or nothing.
func (p *Provider) domain(c claims, id jit.Identity) string {
	if p.cfg.Preset == PresetGoogle {
		return strings.ToLower(c.text("hd"))
	}
	at := strings.LastIndexByte(id.Email, '@')
	if !id.EmailVerified || at < 1 {
		return ""
	}
	return strings.ToLower(id.Email[at+1:])
}
