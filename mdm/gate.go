package mdm

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/enrollkit/enrollkit/internal/cms"
	"github.com/enrollkit/enrollkit/internal/plist"
	"github.com/enrollkit/enrollkit/mdm/command"
	"github.com/enrollkit/enrollkit/profile"
)

// EnrollmentMode is what Apple calls the kind of enrollment, which decides what
// a server may ask.
type EnrollmentMode string

// The modes.
const (
	// ModeUser is User Enrollment: the person's own device.
	ModeUser EnrollmentMode = "User Enrollment"
	// ModeDevice is Device Enrollment.
	ModeDevice EnrollmentMode = "Device Enrollment"
)

// Mode is the way's kind of enrollment. What is not known to be Device
// Enrollment is User Enrollment, which allows less.
func (w Way) Mode() EnrollmentMode {
	if w == WayDevice || w == WayAccountDevice {
		return ModeDevice
	}
	return ModeUser
}

// Account reports whether devices that came this way show a bearer token with
// each request.
func (w Way) Account() bool { return w == WayAccount || w == WayAccountDevice }

// ErrForbidden is every refusal of the gate, for errors.Is.
var ErrForbidden = errors.New("mdm: forbidden in this enrollment")

// ForbiddenError is what Apple does not allow a server to ask of a device that
// is enrolled like this.
type ForbiddenError struct {
	Mode EnrollmentMode
	// What is refused, such as "command EraseDevice", "query SerialNumber" or
	// "payload com.apple.vpn.managed".
	What string
	// Rule says why; under Device Enrollment it names the missing right.
	Rule string
}

// Error implements error.
func (e *ForbiddenError) Error() string {
	return fmt.Sprintf("mdm: %s is forbidden in %s: %s", e.What, e.Mode, e.Rule)
}

// Is reports whether target is ErrForbidden.
func (e *ForbiddenError) Is(target error) bool { return target == ErrForbidden }

var profileLimits = plist.Limits{Bytes: 2 << 20, Depth: 32, Elements: 50_000}

// Allowed is the gate: nil when a device that enrolled this way may be sent
// the command, a *ForbiddenError when Apple forbids it, its keys, a query, a
// setting, or a payload of the profile that it installs. What Apple's tables do
// not list is refused, and under User Enrollment also what the gate cannot read,
// such as an encrypted profile. Under Device Enrollment this is the gate of
// profile.DefaultAccessRights; a Server has its own, see Server.Allowed. A
// command that cannot be written is command.ErrInvalid.
func Allowed(way Way, request command.Command) error {
	return judge(way, profile.DefaultAccessRights, request)
}

// Allowed is the gate of this server, which Enqueue and the commands of a
// Planner pass: like the function of this name, by Config.AccessRights.
func (s *Server) Allowed(way Way, request command.Command) error {
	return judge(way, s.cfg.AccessRights, request)
}

func judge(way Way, rights profile.AccessRights, request command.Command) error {
	b, err := command.Encode("gate", request)
	if err != nil {
		return err
	}
	_, decoded, err := decodeCommand(b)
	if err != nil {
		return fmt.Errorf("mdm: gate: %w", err)
	}
	return allowed(way, rights, decoded)
}

// allowed judges a command as a property list decodes it.
func allowed(way Way, rights profile.AccessRights, c command.Raw) error {
	if way.Mode() == ModeDevice {
		return rightsAllow(rights, c)
	}
	if err := commandAllowed(c); err != nil {
		return err
	}
	if c.Type != "InstallProfile" {
		return nil
	}
	payload, ok := c.Values["Payload"].([]byte)
	if !ok {
		return forbidden("the gate cannot read it", "profile that is not data")
	}
	return profileAllowed(payload)
}

func forbidden(rule, format string, args ...any) error {
	return &ForbiddenError{Mode: ModeUser, What: fmt.Sprintf(format, args...), Rule: rule}
}

const unreadable = "the gate cannot read it"

// readProfile reads a profile, signed or not. Who signed it is for the device
// to judge.
func readProfile(content []byte) (top map[string]any, problem string) {
	if !bytes.HasPrefix(bytes.TrimLeft(content, " \t\r\n"), []byte("<")) {
		signed, err := cms.VerifySCEP(content)
		if err != nil {
			return nil, "profile in a bad signature"
		}
		content = signed.Content
	}
	if err := plist.Unmarshal(content, profileLimits, &top); err != nil {
		return nil, "malformed profile"
	}
	return top, ""
}

// profileAllowed judges each payload of a profile.
func profileAllowed(content []byte) error {
	top, problem := readProfile(content)
	if problem != "" {
		return forbidden(unreadable, "%s", problem)
	}
	if _, there := top["PayloadRemovalDisallowed"]; there {
		return forbidden("the person can always leave", "key PayloadRemovalDisallowed of the profile")
	}
	payloads, ok := top["PayloadContent"].([]any)
	if !ok {
		return forbidden(unreadable, "profile without a list of payloads")
	}
	for _, p := range payloads {
		payload, ok := p.(map[string]any)
		kind, named := payload["PayloadType"].(string)
		if !ok || !named {
			return forbidden(unreadable, "payload without a type")
		}
		if err := payloadAllowed(kind, payload); err != nil {
			return err
		}
	}
	return nil
}
