package ssotest

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const tokenLifetime = 5 * time.Minute

// claims returns what the ID token of a grant says, faults included.
func (p *Provider) claims(g grant, access string) map[string]any {
	now := p.cfg.Now()
	c := map[string]any{
		"iss": p.cfg.Issuer, "sub": g.user.Subject, "aud": g.clientID,
		"iat": now.Unix(), "exp": now.Add(tokenLifetime).Unix(), "auth_time": g.at.Unix(),
		"at_hash": p.hash(access), "preferred_username": g.user.Username,
		"groups": append([]string{}, g.user.Groups...),
	}
	if g.nonce != "" {
		c["nonce"] = g.nonce
	}
	if g.user.Email != "" {
		c["email"], c["email_verified"] = g.user.Email, true
	}
	if g.user.Name != "" {
		c["name"] = g.user.Name
	}
	maps.Copy(c, g.user.Claims)
	if tid, ok := c["tid"].(string); ok {
		c["iss"] = strings.ReplaceAll(p.cfg.Issuer, tenantPlaceholder, tid)
	}
	p.spoil(c, g, now)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

// spoil applies the faults of claims. A claim that is nil is left out.
func (p *Provider) spoil(c map[string]any, g grant, now time.Time) {
	hour := int64(time.Hour / time.Second)
	for f, change := range map[Fault]map[string]any{
		WrongIssuer:         {"iss": "https://evil.example/idp"},
		IssuerTrailingSlash: {"iss": p.cfg.Issuer + "/"},
		WrongTenant:         {"iss": strings.ReplaceAll(p.cfg.Issuer, tenantPlaceholder, "99999999-9999-9999-9999-999999999999")},
		WrongAudience:       {"aud": "another-client"},
		ExtraAudience:       {"aud": []string{g.clientID, "another-client"}, "azp": nil},
		WrongAZP:            {"aud": []string{g.clientID, "another-client"}, "azp": "another-client"},
		ForeignAZP:          {"azp": "another-client"},
		WrongNonce:          {"nonce": "another-nonce"},
		MissingNonce:        {"nonce": nil},
		Expired:             {"exp": now.Unix() - 1},
		MissingExpiry:       {"exp": nil},
		NotYetValid:         {"nbf": now.Unix() + hour},
		IssuedInFuture:      {"iat": now.Unix() + hour, "exp": now.Unix() + 2*hour},
		IssuedLongAgo:       {"iat": now.Unix() - hour},
		EmptySubject:        {"sub": ""},
		LongSubject:         {"sub": strings.Repeat("s", 300)},
		NULSubject:          {"sub": g.user.Subject + "\x00"},
		WrongAtHash:         {"at_hash": p.hash("another access token")},
		StaleAuthTime:       {"auth_time": now.Unix() - 24*hour},
		MissingAuthTime:     {"auth_time": nil},
		FutureAuthTime:      {"auth_time": now.Unix() + hour},
		EmailUnverified:     {"email_verified": false},
		EmailVerifiedString: {"email_verified": "true"},
		GroupsAbsent:        {"groups": nil},
		GroupsEmpty:         {"groups": []string{}},
		GroupsTruncated: {"groups": nil, "_claim_names": map[string]string{"groups": "src1"},
			"_claim_sources": map[string]any{"src1": map[string]string{"endpoint": "http://169.254.169.254/latest/meta-data"}}},
		GroupsHasGroups: {"groups": nil, "hasgroups": true},
		GroupsCut:       {"groups": many(g.user.Groups, 100)},
		GroupsMany:      {"groups": many(g.user.Groups, 5000)},
		GroupsMalformed: {"groups": []any{append([]string{}, g.user.Groups...), 7}},
	} {
		if p.broken(f) {
			maps.Copy(c, change)
		}
	}
}

func many(first []string, n int) []string {
	list := slices.Clone(first)
	for i := len(list); i < n; i++ {
		list = append(list, fmt.Sprintf("group-%d", i))
	}
	return list
}

// hash is at_hash, OpenID Connect Core 1.0, section 3.1.3.6. With EdDSA it is by
// SHA-512.
func (p *Provider) hash(access string) string {
	if p.signer().alg == jose.EdDSA {
		sum := sha512.Sum512([]byte(access))
		return base64.RawURLEncoding.EncodeToString(sum[:32])
	}
	if p.signer().alg == jose.ES384 {
		sum := sha512.Sum384([]byte(access))
		return base64.RawURLEncoding.EncodeToString(sum[:24])
	}
	sum := sha256.Sum256([]byte(access))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// signer is the key that signs, faults considered.
func (p *Provider) signer() key {
	switch {
	case p.broken(AlgUnlisted):
		return p.extra.es384
	case p.broken(AlgUnadvertised):
		return p.extra.eddsa
	case p.broken(UnknownKey), p.broken(EmbeddedKey):
		return p.extra.stranger
	case p.broken(TraversalKeyID):
		k := p.extra.stranger
		k.private.KeyID = "../../x"
		return k
	case p.broken(WrongSignature):
		k := p.extra.stranger
		k.private.KeyID = p.current().private.KeyID
		return k
	}
	return p.current()
}

// sign makes the ID token.
func (p *Provider) sign(c map[string]any) (string, error) {
	payload, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("ssotest: claims: %w", err)
	}
	k := p.signer()
	opts := (&jose.SignerOptions{}).WithType("JWT")
	signing := []jose.SigningKey{{Algorithm: k.alg, Key: k.private}}
	switch {
	case p.broken(AlgNone):
		enc := base64.RawURLEncoding.EncodeToString
		return enc([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + enc(payload) + ".", nil
	case p.broken(AlgHS256):
		secret, err := json.Marshal(p.current().public())
		if err != nil {
			return "", fmt.Errorf("ssotest: key: %w", err)
		}
		opts.WithHeader("kid", p.current().private.KeyID)
		signing = []jose.SigningKey{{Algorithm: jose.HS256, Key: secret}}
	case p.broken(EmbeddedKey):
		opts.EmbedJWK = true
	case p.broken(KeyURL):
		opts.WithHeader("jku", "https://evil.example/jwks")
	case p.broken(CertURL):
		opts.WithHeader("x5u", "https://evil.example/cert")
	case p.broken(TwoSignatures):
		signing = append(signing, jose.SigningKey{Algorithm: p.extra.stranger.alg, Key: p.extra.stranger.private})
	}
	s, err := jose.NewMultiSigner(signing, opts)
	if err != nil {
		return "", fmt.Errorf("ssotest: signer: %w", err)
	}
	jws, err := s.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("ssotest: sign: %w", err)
	}
	if len(signing) > 1 {
		return jws.FullSerialize(), nil
	}
	return jws.CompactSerialize()
}
