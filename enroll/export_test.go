package enroll

import "io"

// Agent is what a user agent says.
type Agent = agent

// PageElsewhere is the page of what is no iPhone.
const PageElsewhere = pageElsewhere

// ParseAgent is parseAgent.
func ParseAgent(s string) Agent { return parseAgent(s) }

// PageOf is choosePage.
func PageOf(a Agent, button bool) page { return choosePage(a, button) } //nolint:revive // the fuzz test compares it

// MayDownload is mayDownload.
func MayDownload(a Agent, button bool) bool { return mayDownload(a, button) }

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
