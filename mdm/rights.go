package mdm

import (
	"fmt"

	"github.com/enrollkit/enrollkit/internal/appleschema"
	"github.com/enrollkit/enrollkit/mdm/command"
	"github.com/enrollkit/enrollkit/profile"
)

// rightsAllow is the gate of Device Enrollment: a command, a query or a setting
// needs the right that Apple's schema names for it, and what only supervised
// devices accept is refused, because no way in here makes a device one.
func rightsAllow(granted profile.AccessRights, c command.Raw) error {
	rule, listed := appleschema.Command(c.Type)
	if err := granting(granted, rule, listed, "command %s", c.Type); err != nil {
		return err
	}
	switch c.Type {
	case "DeviceInformation":
		return eachGranted(granted, c, "Queries", "query", func(q any) string {
			name, _ := q.(string)
			return name
		})
	case "Settings":
		return eachGranted(granted, c, "Settings", "setting", func(i any) string {
			item, _ := i.(map[string]any)
			name, _ := item["Item"].(string)
			return name
		})
	case "InstallProfile":
		return noFurtherRights(granted, c)
	}
	return nil
}

func granting(granted profile.AccessRights, rule appleschema.Rule, listed bool, what string, args ...any) error {
	reason := ""
	switch need := profile.AccessRights(rule.Right); {
	case !listed:
		reason = "Apple does not list it for iOS, so that nobody knows which right it needs"
	case rule.Supervised:
		reason = "Apple allows it on supervised devices only"
	case !granted.Has(need):
		reason = fmt.Sprintf("it needs the access right %d (%s), which the enrollment does not grant", int(need), need)
	default:
		return nil
	}
	return &ForbiddenError{Mode: ModeDevice, What: fmt.Sprintf(what, args...), Rule: reason}
}

// eachGranted judges the entries of a list in a command.
func eachGranted(granted profile.AccessRights, c command.Raw, key, what string, name func(any) string) error {
	list, ok := c.Values[key].([]any)
	if !ok && c.Values[key] != nil {
		return &ForbiddenError{Mode: ModeDevice, What: key + " of " + c.Type, Rule: unreadable}
	}
	for _, entry := range list {
		rule, listed := appleschema.Query(c.Type, name(entry))
		if err := granting(granted, rule, listed, "%s %q", what, name(entry)); err != nil {
			return err
		}
	}
	return nil
}

// noFurtherRights refuses an enrollment profile with rights that were not
// granted, or of another kind of enrollment: iOS would refuse it as an update.
// A profile that cannot be read here, such as an encrypted one, is for the
// device to judge.
func noFurtherRights(granted profile.AccessRights, c command.Raw) error {
	content, _ := c.Values["Payload"].([]byte)
	top, problem := readProfile(content)
	if problem != "" {
		return nil
	}
	payloads, _ := top["PayloadContent"].([]any)
	for _, p := range payloads {
		payload, _ := p.(map[string]any)
		if payload["PayloadType"] != "com.apple.mdm" {
			continue
		}
		var rights int64
		switch n := payload["AccessRights"].(type) {
		case uint64:
			rights = int64(n)
		case int64:
			rights = n
		}
		_, another := payload["ManagedAppleID"]
		if another || payload["EnrollmentMode"] == "BYOD" {
			return &ForbiddenError{Mode: ModeDevice, What: "payload com.apple.mdm of User Enrollment", Rule: "an enrollment does not change its kind"}
		}
		if !granted.Has(profile.AccessRights(rights)) {
			return &ForbiddenError{Mode: ModeDevice, What: "payload com.apple.mdm with more access rights", Rule: "iOS refuses to add rights to an enrollment"}
		}
	}
	return nil
}
