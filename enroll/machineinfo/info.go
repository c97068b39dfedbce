package machineinfo

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/enrollkit/enrollkit/internal/plist"
)

// Info is machine information as a device sends it when it enrolls by an
// account. All but Product and Version may be empty.
type Info struct {
	// Product is the model, such as iPhone17,2.
	Product string `plist:"PRODUCT"`
	// Version is the build of the system, such as 23B85.
	Version string `plist:"VERSION"`
	// Language is that of the person's settings, such as en-GB.
	Language string `plist:"LANGUAGE,omitempty"`
	// OSVersion is sent from iOS 17 on, such as 26.1; see OS.
	OSVersion string `plist:"OS_VERSION,omitempty"`
	// SupplementalBuildVersion and SupplementalOSVersionExtra tell of a Rapid
	// Security Response.
	SupplementalBuildVersion   string `plist:"SUPPLEMENTAL_BUILD_VERSION,omitempty"`
	SupplementalOSVersionExtra string `plist:"SUPPLEMENTAL_OS_VERSION_EXTRA,omitempty"`
	// SoftwareUpdateDeviceID names the model in Apple's list of updates.
	SoftwareUpdateDeviceID string `plist:"SOFTWARE_UPDATE_DEVICE_ID,omitempty"`
	// CanRequestSoftwareUpdate is set in Setup Assistant.
	CanRequestSoftwareUpdate bool `plist:"MDM_CAN_REQUEST_SOFTWARE_UPDATE,omitempty"`
}

// maxValue bounds every text of an Info, in bytes.
const maxValue = 128

// limits bound the property list; keys that are not known may nest.
var limits = plist.Limits{Bytes: MaxBytes, Depth: 8, Elements: 500}

func parse(content []byte) (Info, error) {
	var info Info
	if err := plist.Unmarshal(content, limits, &info); err != nil {
		return Info{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if err := info.check(); err != nil {
		return Info{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return info, nil
}

func (i Info) check() error {
	if i.Product == "" || i.Version == "" {
		return errors.New("PRODUCT or VERSION is missing")
	}
	for _, v := range []struct{ key, value string }{
		{"PRODUCT", i.Product},
		{"VERSION", i.Version},
		{"LANGUAGE", i.Language},
		{"OS_VERSION", i.OSVersion},
		{"SUPPLEMENTAL_BUILD_VERSION", i.SupplementalBuildVersion},
		{"SUPPLEMENTAL_OS_VERSION_EXTRA", i.SupplementalOSVersionExtra},
		{"SOFTWARE_UPDATE_DEVICE_ID", i.SoftwareUpdateDeviceID},
	} {
		if len(v.value) > maxValue {
			return fmt.Errorf("%s is over %d bytes", v.key, maxValue)
		}
		if !utf8.ValidString(v.value) || strings.ContainsFunc(v.value, func(r rune) bool { return !unicode.IsPrint(r) }) {
			return fmt.Errorf("%s holds a character that cannot be shown", v.key)
		}
	}
	return nil
}

// Marshal is the property list that a device signs.
func (i Info) Marshal() ([]byte, error) {
	b, err := plist.Marshal(i)
	if err != nil {
		return nil, fmt.Errorf("machineinfo: %w", err)
	}
	return b, nil
}

// Family is the kind of device, in the words of Apple's model-family: iPhone,
// iPad, Mac, AppleTV, RealityDevice or Watch. It is "" for a product that has
// none of their names.
func (i Info) Family() string {
	name := strings.TrimRight(i.Product, "0123456789,")
	switch {
	case name == "iPod": // touch, which Apple counts among iPhones
		return "iPhone"
	case name == "iPhone", name == "iPad", name == "AppleTV", name == "RealityDevice", name == "Watch":
		return name
	case strings.Contains(name, "Mac"): // MacBookPro, Macmini, iMac and Mac
		return "Mac"
	}
	return ""
}

// OS is a version of the operating system.
type OS struct{ Major, Minor, Patch int }

// Before reports whether the version is older than major.minor.
func (o OS) Before(major, minor int) bool {
	return o.Major < major || o.Major == major && o.Minor < minor
}

// String is the version as Apple writes it, such as 17.6.1 or 26.0.
func (o OS) String() string {
	if o.Patch == 0 {
		return fmt.Sprintf("%d.%d", o.Major, o.Minor)
	}
	return fmt.Sprintf("%d.%d.%d", o.Major, o.Minor, o.Patch)
}

// OS is the version of the operating system: what OSVersion says, or else, for
// an iPhone or iPad, the major version that the build stands for. It is false
// where neither can be read.
func (i Info) OS() (OS, bool) {
	if o, ok := parseOS(i.OSVersion); ok {
		return o, true
	}
	if f := i.Family(); f != "iPhone" && f != "iPad" {
		return OS{}, false
	}
	n := number(i.Version)
	switch {
	case n < 17 || n > 99: // before User Enrollment, or no build
		return OS{}, false
	case n >= 23: // iOS 26 followed 18
		return OS{Major: n + 3}, true
	default:
		return OS{Major: n - 4}, true
	}
}

func parseOS(text string) (OS, bool) {
	var o OS
	parts := strings.Split(text, ".")
	if len(parts) > 3 {
		return OS{}, false
	}
	for i, to := range []*int{&o.Major, &o.Minor, &o.Patch}[:len(parts)] {
		n := number(parts[i])
		if n < 0 || len(parts[i]) > 3 || strings.Trim(parts[i], "0123456789") != "" {
			return OS{}, false
		}
		*to = n
	}
	return o, true
}

// number is what the digits at the beginning of s say, up to three of them, and
// -1 where there is none.
func number(s string) int {
	n := -1
	for i := 0; i < len(s) && i < 3 && s[i] >= '0' && s[i] <= '9'; i++ {
		n = max(n, 0)*10 + int(s[i]-'0')
	}
	return n
}
