package enroll

import (
	"io"

	"github.com/enrollkit/enrollkit/mdm"
)

// Agent is what a user agent says.
type Agent = agent

// PageElsewhere is the page of what is no iPhone.
const PageElsewhere = pageElsewhere

// ParseAgent is parseAgent.
func ParseAgent(s string) Agent { return parseAgent(s) }

// PageOf is choosePage.
func PageOf(a Agent, button bool) page { return Config{}.choosePage(a, button, "") } //nolint:revive // the fuzz test compares it

// MayDownload is mayDownload.
func MayDownload(a Agent, button bool) bool { return Config{}.mayDownload(a, button, mdm.WayProfile) }

// Sealer is a sealer.
type Sealer struct{ *sealer }

// NewSealer makes one.
func NewSealer(purpose string, keys [][]byte, random io.Reader) (Sealer, error) {
	s, err := newSealer(purpose, keys, random)
	return Sealer{s}, err
}

// Seal is seal.
func (s Sealer) Seal(v any) (string, error) { return s.seal(v) }

// Open is open.
func (s Sealer) Open(text string, v any) error { return s.open(text, v) }

// ErrSeal is errSeal.
var ErrSeal = errSeal

// Claim is what a page says about what the organization can see or do.
type Claim = claim

// Never and Can are the two lists.
var Never, Can = never, can

// WholeCan and WholeNever are those of Device Enrollment.
var WholeCan, WholeNever = wholeCan, wholeNever

// PrivacyOf is what a page says of a way.
func PrivacyOf(p *Portal, way mdm.Way) (can, never []string) {
	says := p.privacy(way, "iPhone")
	return says.Can, says.Never
}

// ClaimOf is a claim's text and the rules behind it.
func ClaimOf(c Claim) (text string, rules []string) { return c.text, c.rules }

// ClaimsOf are the texts that a page shows.
func ClaimsOf(list []Claim, way mdm.Way) []string { return claims(list, way.Allows, false) }
