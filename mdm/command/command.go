package command

import (
	"errors"
	"fmt"
	"maps"

	"github.com/enrollkit/enrollkit/internal/plist"
)

// Command is what a device is asked to do.
type Command interface {
	// RequestType is Apple's name of the command.
	RequestType() string
	// Parameters are the keys of the command beside RequestType, nil for none.
	// Their values are what a property list has: strings, booleans, integers,
	// floats, []byte, time.Time, and slices and map[string]any of those.
	Parameters() map[string]any
}

// Validator is implemented by commands that can tell that they are incomplete.
// Encode calls it.
type Validator interface {
	// Validate returns an error that wraps ErrInvalid, or nil.
	Validate() error
}

// ErrInvalid is every command that cannot be written, for errors.Is.
var ErrInvalid = errors.New("command: invalid")

// InvalidError is a command that cannot be written, and why.
type InvalidError struct {
	RequestType string
	// Field is the key that is wrong, "" when none alone is.
	Field  string
	Reason string
}

// Error implements error.
func (e *InvalidError) Error() string {
	if e.Field == "" {
		return fmt.Sprintf("command: %q: %s", e.RequestType, e.Reason)
	}
	return fmt.Sprintf("command: %q: %s: %s", e.RequestType, e.Field, e.Reason)
}

// Is reports whether target is ErrInvalid.
func (e *InvalidError) Is(target error) bool { return target == ErrInvalid }

// MaxUUID is the longest CommandUUID in bytes.
const MaxUUID = 128

// Encode writes c under its CommandUUID (1 to MaxUUID bytes) as the XML
// property list that the device is answered with. The error wraps ErrInvalid.
func Encode(uuid string, c Command) ([]byte, error) {
	if c == nil {
		return nil, &InvalidError{Reason: "no command"}
	}
	name := c.RequestType()
	if name == "" {
		return nil, &InvalidError{Field: "RequestType", Reason: "is empty"}
	}
	if uuid == "" || len(uuid) > MaxUUID {
		return nil, &InvalidError{RequestType: name, Field: "CommandUUID", Reason: fmt.Sprintf("is not of 1 to %d bytes", MaxUUID)}
	}
	if v, ok := c.(Validator); ok {
		if err := v.Validate(); err != nil {
			return nil, err
		}
	}
	body := maps.Clone(c.Parameters())
	if body == nil {
		body = map[string]any{}
	}
	if _, clash := body["RequestType"]; clash {
		return nil, &InvalidError{RequestType: name, Field: "RequestType", Reason: "is among the parameters"}
	}
	body["RequestType"] = name
	b, err := plist.Marshal(map[string]any{"CommandUUID": uuid, "Command": body})
	if err != nil {
		return nil, &InvalidError{RequestType: name, Reason: err.Error()}
	}
	return b, nil
}

// Raw is a command that this package has no type for.
type Raw struct {
	Type   string
	Values map[string]any
}

// RequestType implements Command.
func (c Raw) RequestType() string { return c.Type }

// Parameters implements Command.
func (c Raw) Parameters() map[string]any { return c.Values }

// parameters collects the keys that are set.
type parameters map[string]any

func (p parameters) text(key, value string) {
	if value != "" {
		p[key] = value
	}
}

func (p parameters) list(key string, values []string) {
	if len(values) > 0 {
		p[key] = values
	}
}

func (p parameters) truth(key string, value bool) {
	if value {
		p[key] = true
	}
}

func need(requestType, key string, there bool) error {
	if there {
		return nil
	}
	return &InvalidError{RequestType: requestType, Field: key, Reason: "is missing"}
}
