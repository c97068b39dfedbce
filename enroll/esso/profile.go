package esso

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/enrollkit/enrollkit/internal/cms"
	"github.com/enrollkit/enrollkit/internal/plist"
)

// certificateTypes are the payloads of certificates that a profile may hold
// beside its extension. One with a private key is none of them here: anybody can
// fetch the document.
var certificateTypes = []string{"com.apple.security.root", "com.apple.security.pkcs1", "com.apple.security.pem"}

var profileLimits = plist.Limits{Bytes: 128 << 10, Depth: 16, Elements: 5000}

// profileContent is what is looked at in a profile.
type profileContent struct {
	PayloadType, PayloadIdentifier, PayloadUUID string
	PayloadContent                              []struct {
		PayloadType         string
		ExtensionIdentifier string   `plist:",omitempty"`
		Type                string   `plist:",omitempty"`
		URLs                []string `plist:",omitempty"`
		Hosts               []string `plist:",omitempty"`
	}
}

// CheckProfile reports what a device would refuse in a profile that is installed
// before enrollment, as ConfigurationProfile or behind the ProfileURL of a
// declaration: it holds at least one com.apple.extensiblesso, and else only
// certificates without keys. It is XML, signed or not; by whom does not matter
// here. The error joins a *profile.Violation for each mistake.
func CheckProfile(content []byte) error {
	r := &report{}
	r.profile("", content)
	return errors.Join(r.bad...)
}

func (r *report) profile(at string, content []byte) {
	if !bytes.HasPrefix(bytes.TrimLeft(content, " \t\r\n"), []byte("<")) {
		signed, err := cms.VerifyAnySigner(content)
		if err != nil {
			r.wrong(at+"PayloadContent", "is neither a profile in XML nor a signed one")
			return
		}
		content = signed.Content
	}
	var p profileContent
	if err := plist.Unmarshal(content, profileLimits, &p); err != nil {
		r.wrong(at+"PayloadContent", "the profile cannot be read: %v", err)
		return
	}
	if p.PayloadType != "Configuration" || p.PayloadIdentifier == "" || p.PayloadUUID == "" {
		r.wrong(at+"PayloadType", "is not Configuration, or the profile has no identifier or UUID")
	}
	extensions := 0
	for i, payload := range p.PayloadContent {
		where := fmt.Sprintf("%sPayloadContent[%d]", at, i)
		switch {
		case payload.PayloadType == "com.apple.extensiblesso":
			extensions++
			complete := payload.Type == "Redirect" && len(payload.URLs) > 0 || payload.Type == "Credential" && len(payload.Hosts) > 0
			if payload.ExtensionIdentifier == "" || !complete {
				r.wrong(where, "needs ExtensionIdentifier, and Type Redirect with URLs or Credential with Hosts")
			}
		case payload.PayloadType == "com.apple.security.pkcs12":
			r.wrong(where, "holds a private key, and anybody can fetch the document")
		case !slices.Contains(certificateTypes, payload.PayloadType):
			r.wrong(where, "%q is neither com.apple.extensiblesso nor a certificate", payload.PayloadType)
		}
	}
	if extensions == 0 {
		r.wrong(at+"PayloadContent", "has no com.apple.extensiblesso")
	}
}
