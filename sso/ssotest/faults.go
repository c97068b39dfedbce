package ssotest

// Fault is one thing that the provider does wrong. Each breaks just what its
// name says and leaves everything else right.
type Fault string

// Faults of the ID token.
const (
	// WrongIssuer: iss is another provider.
	WrongIssuer Fault = "wrong issuer"
	// IssuerTrailingSlash: iss has a slash too many.
	IssuerTrailingSlash Fault = "issuer with a trailing slash"
	// WrongTenant: iss belongs to another tenant than tid says.
	WrongTenant Fault = "issuer of another tenant"
	// WrongAudience: aud is another client.
	WrongAudience Fault = "wrong audience"
	// ExtraAudience: aud has a second client and azp is missing.
	ExtraAudience Fault = "second audience without azp"
	// WrongAZP: aud has a second client, and azp is that one.
	WrongAZP Fault = "wrong azp"
	// ForeignAZP: aud is right and alone, but azp is another client.
	ForeignAZP Fault = "azp of another client"
	// WrongNonce: nonce is another browser's.
	WrongNonce Fault = "wrong nonce"
	// MissingNonce: there is no nonce.
	MissingNonce Fault = "missing nonce"
	// AlgNone: the token is not signed, alg is none.
	AlgNone Fault = "alg none"
	// AlgHS256: the token is "signed" with the public key as HMAC secret.
	AlgHS256 Fault = "alg HS256 keyed by the public key"
	// AlgUnlisted: signed with ES384, advertised and published, but on no list
	// of algorithms that a careful client accepts.
	AlgUnlisted Fault = "alg that is advertised but not accepted"
	// AlgUnadvertised: signed with EdDSA, published but not advertised.
	AlgUnadvertised Fault = "alg that is not advertised"
	// UnknownKey: signed with a key that is not published, of another id.
	UnknownKey Fault = "unknown key"
	// TraversalKeyID: like UnknownKey, the id being "../../x".
	TraversalKeyID Fault = "key id that is a path"
	// WrongSignature: signed with another key under the right id.
	WrongSignature Fault = "wrong signature"
	// EmbeddedKey: signed with a key that the token itself brings along.
	EmbeddedKey Fault = "key in the token's header"
	// KeyURL: the right key, but the header names a key set elsewhere (jku).
	KeyURL Fault = "jku in the token's header"
	// CertURL: the right key, but the header names a certificate elsewhere (x5u).
	CertURL Fault = "x5u in the token's header"
	// TwoSignatures: JSON serialization with two signatures.
	TwoSignatures Fault = "two signatures"
	// Expired: exp was a second ago.
	Expired Fault = "expired"
	// MissingExpiry: there is no exp.
	MissingExpiry Fault = "missing exp"
	// NotYetValid: nbf is in an hour.
	NotYetValid Fault = "not yet valid"
	// IssuedInFuture: iat is in an hour.
	IssuedInFuture Fault = "issued in the future"
	// IssuedLongAgo: iat was an hour ago.
	IssuedLongAgo Fault = "issued long ago"
	// EmptySubject: sub is empty.
	EmptySubject Fault = "empty subject"
	// LongSubject: sub has 300 characters.
	LongSubject Fault = "long subject"
	// NULSubject: sub holds a NUL.
	NULSubject Fault = "subject with NUL"
	// WrongAtHash: at_hash belongs to another access token.
	WrongAtHash Fault = "wrong at_hash"
	// StaleAuthTime: auth_time was a day ago.
	StaleAuthTime Fault = "stale auth_time"
	// MissingAuthTime: there is no auth_time.
	MissingAuthTime Fault = "missing auth_time"
	// FutureAuthTime: auth_time is in an hour.
	FutureAuthTime Fault = "auth_time in the future"
	// EmailUnverified: email_verified is false.
	EmailUnverified Fault = "e-mail not verified"
	// EmailVerifiedString: email_verified is the text "true".
	EmailVerifiedString Fault = "email_verified as text"
	// MissingIDToken: the answer of the token endpoint lacks id_token.
	MissingIDToken Fault = "missing id token"
)

// Faults of the group claim.
const (
	// GroupsAbsent: there is no group claim.
	GroupsAbsent Fault = "groups absent"
	// GroupsEmpty: the group claim is an empty list.
	GroupsEmpty Fault = "groups empty"
	// GroupsTruncated: there is no group claim, but Entra's overage marker
	// (_claim_names), which points to a link-local address.
	GroupsTruncated Fault = "groups truncated"
	// GroupsHasGroups: there is no group claim, but Entra's marker hasgroups.
	GroupsHasGroups Fault = "groups behind hasgroups"
	// GroupsCut: the person's groups and others, 100 in all, as if cut there.
	GroupsCut Fault = "groups cut at 100"
	// GroupsMany: the person's groups and others, 5000 in all.
	GroupsMany Fault = "5000 groups"
	// GroupsMalformed: the person's groups and one that is a number.
	GroupsMalformed Fault = "groups malformed"
)

// Faults of the callback.
const (
	// AccessDenied: the provider refuses whoever signs in.
	AccessDenied Fault = "access denied"
	// WrongState: state is another browser's.
	WrongState Fault = "wrong state"
	// WrongCallbackIssuer: iss of the callback (RFC 9207) is another provider.
	WrongCallbackIssuer Fault = "wrong issuer of the callback"
	// MissingCallbackIssuer: iss is missing although it is advertised.
	MissingCallbackIssuer Fault = "missing issuer of the callback"
)

// Faults of the endpoints. The slow ones answer when the client gave up.
const (
	DiscoveryDown           Fault = "discovery down"
	SlowDiscovery           Fault = "slow discovery"
	GiantDiscovery          Fault = "giant discovery"
	HTMLDiscovery           Fault = "discovery is HTML"
	DiscoveryRedirect       Fault = "discovery redirects to a link-local address"
	DiscoveryIssuerMismatch Fault = "discovery of another issuer"
	DiscoveryPlainEndpoints Fault = "endpoints without TLS"
	DiscoveryPlainPKCE      Fault = "discovery without S256"
	DiscoveryWeakAlgs       Fault = "discovery with HS256 and none only"
	DiscoveryNoEndpoints    Fault = "discovery without endpoints"
	KeysDown                Fault = "keys down"
	SlowKeys                Fault = "slow keys"
	GiantKeys               Fault = "giant keys"
	HTMLKeys                Fault = "keys are HTML"
	ManyKeys                Fault = "10000 keys"
	WeakKey                 Fault = "only a key of RSA-512"
	KeysEmpty               Fault = "no keys"
	TokenDown               Fault = "token endpoint down"
	SlowToken               Fault = "slow token endpoint"
	GiantToken              Fault = "giant token answer"
	HTMLToken               Fault = "token answer is HTML"
	TokenRedirect           Fault = "token endpoint redirects to a link-local address"
	// TokenTattles: the token endpoint refuses and repeats what it was sent.
	TokenTattles Fault = "token endpoint repeats secrets"
	// OddRefusal: codes are refused with status 403 and an error that no
	// specification has.
	OddRefusal Fault = "codes refused in words of its own"
)

// Break makes the provider do these things wrong, from now on and in addition to
// what is broken already. Nothing else changes. The empty Fault is none.
func (p *Provider) Break(faults ...Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range faults {
		if f != "" {
			p.faults[f] = true
		}
	}
}

// Repair makes the provider honest again.
func (p *Provider) Repair() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.faults)
}

func (p *Provider) broken(f Fault) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.faults[f]
}
