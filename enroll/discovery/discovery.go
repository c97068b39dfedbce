package discovery

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Path is where devices ask.
const Path = "/.well-known/com.apple.remotemanagement"

// Family is a kind of device, as Apple's model-family names it.
type Family string

// The families that Apple documents.
const (
	IPhone        Family = "iPhone"
	IPad          Family = "iPad"
	Mac           Family = "Mac"
	AppleTV       Family = "AppleTV"
	RealityDevice Family = "RealityDevice"
	Watch         Family = "Watch"
)

var families = []Family{IPhone, IPad, Mac, AppleTV, RealityDevice, Watch}

// Version is the kind of enrollment that a device is sent to.
type Version string

// The versions of Apple's document.
const (
	// BYOD is account-driven User Enrollment.
	BYOD Version = "mdm-byod"
	// ADDE is account-driven Device Enrollment.
	ADDE Version = "mdm-adde"
)

// Organization is what the devices of some domains are answered.
type Organization struct {
	// Domains are the parts of identifiers after the @, such as "example.com";
	// required. They are compared without regard to case, and internationalized
	// names in either form. A domain does not stand for those below it.
	Domains []string
	// BYOD and ADDE are the addresses to which devices post for mdm-byod and
	// mdm-adde: https without user, query and fragment. One that Families does
	// not lead to must be empty.
	BYOD, ADDE string
	// Families says which device gets which version; what is not listed is
	// refused. Nil stands for iPhone and iPad with BYOD.
	Families map[Family]Version
}

// Config configures a Handler. Organizations is required.
type Config struct {
	// Organizations are all that are served. A domain belongs to one of them.
	Organizations []Organization
	// UnknownDomain and UnknownFamily are shown to a person whose domain or
	// device is not served. They default to English.
	UnknownDomain, UnknownFamily string
	// Logger defaults to slog.Default().
	Logger *slog.Logger
}

var (
	// ErrConfig is every mistake in a Config.
	ErrConfig = errors.New("discovery: bad configuration")
	// ErrNotServed: the domain is in no Organization.
	ErrNotServed = errors.New("discovery: domain is not served")
	// ErrNotStatic: the domain's families get different answers, which a file
	// cannot tell apart.
	ErrNotStatic = errors.New("discovery: the families of this domain get different versions, so it needs a redirect and not a file")
)

// Handler serves service discovery. It is safe for concurrent use.
type Handler struct {
	// domains are the answers, by domain in ASCII and by family. The empty
	// family is a request without one.
	domains map[string]map[Family][]byte
	// unknownDomain and unknownFamily are the documents of refusals.
	unknownDomain, unknownFamily []byte
	logger                       *slog.Logger
}

// New returns the handler of a configuration. The error joins every mistake;
// each wraps ErrConfig.
func New(cfg Config) (*Handler, error) {
	var bad []error
	wrong := func(format string, args ...any) {
		bad = append(bad, fmt.Errorf("%w: "+format, append([]any{ErrConfig}, args...)...))
	}
	h := &Handler{domains: map[string]map[Family][]byte{}, logger: cfg.Logger}
	if h.logger == nil {
		h.logger = slog.Default()
	}
	if len(cfg.Organizations) == 0 {
		wrong("Organizations is empty")
	}
	for i, org := range cfg.Organizations {
		at := fmt.Sprintf("Organizations[%d]", i)
		answers := org.answers(func(format string, args ...any) { wrong(at+"."+format, args...) })
		if len(org.Domains) == 0 {
			wrong("%s.Domains is empty", at)
		}
		for j, domain := range org.Domains {
			name, err := canonical(domain)
			if err != nil {
				wrong("%s.Domains[%d]: %q is not a domain such as example.com", at, j, domain)
				continue
			}
			if _, twice := h.domains[name]; twice {
				wrong("%s.Domains[%d]: %q is there twice", at, j, domain)
			}
			h.domains[name] = answers
		}
	}
	for _, text := range []struct {
		name, value, fallback, description string
		document                           *[]byte
	}{
		{"UnknownDomain", cfg.UnknownDomain, "Your organization does not enroll devices here. Check the address that you typed.", "the domain of user-identifier is not served", &h.unknownDomain},
		{"UnknownFamily", cfg.UnknownFamily, "Your organization does not enroll devices of this kind.", "the model-family is not served for this domain", &h.unknownFamily},
	} {
		message := text.value
		if message == "" {
			message = text.fallback
		}
		if !utf8.ValidString(message) || len(message) > maxMessage {
			wrong("%s is not UTF-8 of at most %d bytes", text.name, maxMessage)
		}
		*text.document = encode(failure{Code: CodeFailed, Message: message, Description: text.description})
	}
	if len(bad) > 0 {
		return nil, errors.Join(bad...)
	}
	return h, nil
}

// maxMessage bounds a text for people, in bytes.
const maxMessage = 1024

// answers are the documents of an organization by family.
func (o Organization) answers(wrong func(format string, args ...any)) map[Family][]byte {
	listed := o.Families
	if listed == nil {
		listed = map[Family]Version{IPhone: BYOD, IPad: BYOD}
	}
	if len(listed) == 0 {
		wrong("Families is empty, so nothing is served")
	}
	documents := map[Version][]byte{}
	for _, v := range []struct {
		version    Version
		name, base string
	}{{BYOD, "BYOD", o.BYOD}, {ADDE, "ADDE", o.ADDE}} {
		used := slices.Contains(slices.Collect(maps.Values(listed)), v.version)
		switch {
		case used && !addressOK(v.base):
			wrong("%s: %q must be https:// with a host and without user, query and fragment", v.name, v.base)
		case !used && v.base != "":
			wrong("%s is given, and Families leads no device to %s", v.name, v.version)
		}
		documents[v.version] = encode(document{Servers: []server{{v.version, v.base}}})
	}
	answers := map[Family][]byte{}
	for _, family := range slices.Sorted(maps.Keys(listed)) {
		version := listed[family]
		if !slices.Contains(families, family) {
			wrong("Families: %q is no model family; there are %v", family, families)
		}
		if documents[version] == nil {
			wrong("Families[%s]: %q is neither %s nor %s", family, version, BYOD, ADDE)
		}
		answers[family] = documents[version]
	}
	if listed[IPhone] == BYOD && listed[IPad] == BYOD {
		answers[""] = documents[BYOD]
	}
	return answers
}

// StaticFile is what a web server of the domain's owner serves at Path as
// application/json, so that its devices find the way here. The error is
// ErrNotServed, or ErrNotStatic where the answer depends on the family.
func (h *Handler) StaticFile(domain string) ([]byte, error) {
	name, err := canonical(domain)
	if err != nil {
		return nil, fmt.Errorf("%w: %q", ErrNotServed, domain)
	}
	answers, ok := h.domains[name]
	if !ok {
		return nil, fmt.Errorf("%w: %q", ErrNotServed, domain)
	}
	var file []byte
	for _, answer := range answers {
		if file != nil && !bytes.Equal(file, answer) {
			return nil, fmt.Errorf("%w: %q", ErrNotStatic, domain)
		}
		file = answer
	}
	return bytes.Clone(file), nil
}

// document is what a device is answered.
type document struct {
	Servers []server
}

type server struct {
	Version Version
	BaseURL string
}

// failure is Apple's error document.
type failure struct {
	Code        string `json:"code"`
	Message     string `json:"message,omitempty"`
	Description string `json:"description,omitempty"`
}

// encode cannot fail for these types, whose strings New has checked.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // an address stays readable in the static file
	_ = e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

func addressOK(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil && u.RawQuery == "" && !u.ForceQuery && u.Fragment == "" && utf8.ValidString(s)
}

// lookup is how a domain is compared: as DNS looks it up, in ASCII and lower
// case, every label of letters, digits and inner hyphens.
var lookup = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(true), idna.VerifyDNSLength(true), idna.Transitional(false))

// canonical is the name under which a domain is compared. It fails for what is
// no fully qualified domain name.
func canonical(domain string) (string, error) {
	if len(domain) > maxIdentifier {
		return "", errMalformed
	}
	name, err := lookup.ToASCII(strings.TrimSuffix(domain, "."))
	if err != nil || !strings.Contains(name, ".") {
		return "", errMalformed
	}
	return name, nil
}
