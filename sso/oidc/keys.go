package oidc

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/enrollkit/enrollkit/sso"
)

const (
	maxKeys        = 100 // in a key set
	maxKeyID       = 256 // bytes
	refetchAfter   = 30 * time.Second
	minRSA, maxRSA = 2048, 8192 // bits
)

var errSignature = errors.New("signature does not verify")

// algorithms are the signature algorithms that are accepted at all. What a
// provider does not advertise is refused as well.
var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.PS256, jose.ES256, jose.EdDSA}

// keySet holds the provider's keys. An unknown key id makes it ask again, but
// not more often than every 30 seconds.
type keySet struct {
	client  *http.Client
	url     string
	algs    []jose.SignatureAlgorithm
	now     func() time.Time
	busy    chan struct{} // capacity 1: guards what follows
	keys    []jose.JSONWebKey
	fetched time.Time
	failed  error // of the last fetch
}

func newKeySet(client *http.Client, url string, algs []jose.SignatureAlgorithm, now func() time.Time) *keySet {
	return &keySet{client: client, url: url, algs: algs, now: now, busy: make(chan struct{}, 1)}
}

// verify checks a compact JWS and returns its payload. Errors wrap
// sso.ErrUnavailable or errSignature.
func (s *keySet) verify(ctx context.Context, raw string) ([]byte, error) {
	jws, err := jose.ParseSignedCompact(raw, s.algs)
	if err != nil || len(jws.Signatures) != 1 {
		return nil, fmt.Errorf("%w: not a signed token of an accepted algorithm", errSignature)
	}
	h := jws.Signatures[0].Header
	_, jku := h.ExtraHeaders["jku"]
	_, x5u := h.ExtraHeaders["x5u"]
	if h.JSONWebKey != nil || jku || x5u || len(h.KeyID) > maxKeyID {
		return nil, fmt.Errorf("%w: token brings its own key", errSignature)
	}
	key, err := s.key(ctx, h.KeyID, h.Algorithm)
	if err != nil {
		return nil, err
	}
	payload, err := jws.Verify(key)
	if err != nil {
		return nil, errSignature
	}
	return payload, nil
}

// key returns the key with this id that fits the algorithm, asking the provider
// again when there is none. Without an id there must be exactly one that fits.
func (s *keySet) key(ctx context.Context, id, alg string) (*jose.JSONWebKey, error) {
	select {
	case s.busy <- struct{}{}:
		defer func() { <-s.busy }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: keys: %w", sso.ErrUnavailable, ctx.Err())
	}
	if k := s.find(id, alg); k != nil {
		return k, nil
	}
	if s.now().Sub(s.fetched).Abs() >= refetchAfter {
		s.failed = s.fetch(context.WithoutCancel(ctx)) // others need it too; the client bounds it
		if k := s.find(id, alg); s.failed == nil && k != nil {
			return k, nil
		}
	}
	if s.failed != nil { // the key may be a new one
		return nil, s.failed
	}
	return nil, fmt.Errorf("%w: unknown key", errSignature)
}

func (s *keySet) find(id, alg string) *jose.JSONWebKey {
	var found *jose.JSONWebKey
	for i := range s.keys {
		k := &s.keys[i]
		if id != "" && k.KeyID != id || k.Algorithm != "" && k.Algorithm != alg || !fits(k.Key, alg) {
			continue
		}
		if found != nil {
			return nil
		}
		found = k
	}
	return found
}

// fetch replaces the keys. The caller holds busy.
func (s *keySet) fetch(ctx context.Context) error {
	s.fetched = s.now()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return fmt.Errorf("%w: keys: no usable address", sso.ErrUnavailable)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return fmt.Errorf("%w: keys: %s", sso.ErrUnavailable, cause(err))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("%w: keys: %s", sso.ErrUnavailable, cause(err))
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: keys: status %d", sso.ErrUnavailable, resp.StatusCode)
	}
	keys, err := parseKeys(body)
	if err != nil {
		return fmt.Errorf("%w: keys: %w", sso.ErrUnavailable, err)
	}
	s.keys = keys
	return nil
}

// parseKeys returns the usable signature keys of a JWK set, at least one.
func parseKeys(body []byte) ([]jose.JSONWebKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if json.Unmarshal(body, &set) != nil {
		return nil, errors.New("not a JWK set")
	}
	if len(set.Keys) > maxKeys {
		return nil, errors.New("too many keys")
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys {
		var k jose.JSONWebKey
		if json.Unmarshal(raw, &k) != nil || !k.IsPublic() || k.Use != "" && k.Use != "sig" {
			continue
		}
		for _, alg := range algorithms {
			if fits(k.Key, string(alg)) {
				keys = append(keys, k)
				break
			}
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("no usable key")
	}
	return keys, nil
}

// fits is true when the key may be used with the algorithm.
func fits(key any, alg string) bool {
	switch k := key.(type) {
	case *rsa.PublicKey:
		bits := k.N.BitLen()
		return (alg == string(jose.RS256) || alg == string(jose.PS256)) &&
			bits >= minRSA && bits <= maxRSA && k.E >= 3
	case *ecdsa.PublicKey:
		return alg == string(jose.ES256) && k.Curve == elliptic.P256()
	case ed25519.PublicKey:
		return alg == string(jose.EdDSA)
	default:
		return false
	}
}

// accepted returns the advertised algorithms that we accept too. Providers that
// advertise none get RS256, which every provider has to support.
func accepted(advertised []string) []jose.SignatureAlgorithm {
	if len(advertised) == 0 {
		return []jose.SignatureAlgorithm{jose.RS256}
	}
	var list []jose.SignatureAlgorithm
	for _, a := range algorithms {
		if slices.Contains(advertised, string(a)) {
			list = append(list, a)
		}
	}
	return list
}
