package esso

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// Mode is for whom a document is.
type Mode int

const (
	// Standard is for every device.
	Standard Mode = iota
	// Developer is for devices in developer mode.
	Developer
)

// MaxBytes is the largest document that is made or read.
const MaxBytes = 256 << 10

// ErrDocument: what Parse was given is no JSON of this form.
var ErrDocument = errors.New("esso: not an Enrollment SSO document")

// Document is what a device learns before it enrolls. One of
// ConfigurationProfile and Declarations is needed, better both.
type Document struct {
	// ITunesStoreID is the app's number in the App Store: required in standard
	// mode, and ignored by devices in developer mode.
	ITunesStoreID int64
	// AppIDs are the apps of developer mode, as TEAMID.bundle.id. They must be
	// absent in standard mode.
	AppIDs []string
	// AssociatedDomains are the app's, such as login.example.com. Devices ignore
	// them where they use Declarations, in which the app has attributes for it.
	AssociatedDomains []string
	// AssociatedDomainsEnableDirectDownloads lets devices verify the domains
	// directly and not at Apple, for domains that the internet cannot reach.
	AssociatedDomainsEnableDirectDownloads bool
	// ConfigurationProfile is a profile in XML, signed or not; see CheckProfile.
	ConfigurationProfile []byte
	// Declarations are for iOS 18.4 and later; see Declare.
	Declarations []Declaration
}

// wire is the document as it travels: data and declarations in base64.
type wire struct {
	ITunesStoreID                          int64    `json:"iTunesStoreID,omitempty"`
	AppIDs                                 []string `json:",omitempty"`
	AssociatedDomains                      []string `json:",omitempty"`
	AssociatedDomainsEnableDirectDownloads bool     `json:",omitempty"`
	ConfigurationProfile                   []byte   `json:",omitempty"`
	Declarations                           [][]byte `json:",omitempty"`
}

// Encode checks the document and returns its JSON. The error joins a
// *profile.Violation for each mistake.
func (d Document) Encode(mode Mode) ([]byte, error) {
	if err := d.Check(mode); err != nil {
		return nil, err
	}
	w := wire{
		d.ITunesStoreID, d.AppIDs, d.AssociatedDomains, d.AssociatedDomainsEnableDirectDownloads,
		d.ConfigurationProfile, nil,
	}
	for _, declaration := range d.Declarations {
		b, err := json.Marshal(declaration)
		if err != nil {
			return nil, fmt.Errorf("esso: declaration %s: %w", declaration.Identifier, err)
		}
		w.Declarations = append(w.Declarations, b)
	}
	b, err := json.Marshal(w)
	if err != nil {
		return nil, fmt.Errorf("esso: %w", err)
	}
	if len(b) > MaxBytes {
		return nil, fmt.Errorf("esso: the document has %d bytes, more than %d", len(b), MaxBytes)
	}
	return b, nil
}

// Parse reads a document as a device does: keys count as they are spelled, and
// those that are not known are ignored. The error wraps ErrDocument, or joins a
// *profile.Violation for each thing that the device would refuse.
func Parse(b []byte, mode Mode) (Document, error) {
	if len(b) > MaxBytes {
		return Document{}, fmt.Errorf("%w: more than %d bytes", ErrDocument, MaxBytes)
	}
	var w wire
	var d Document
	err := object(b, map[string]any{
		"iTunesStoreID": &w.ITunesStoreID, "AppIDs": &w.AppIDs, "AssociatedDomains": &w.AssociatedDomains,
		"AssociatedDomainsEnableDirectDownloads": &w.AssociatedDomainsEnableDirectDownloads,
		"ConfigurationProfile":                   &w.ConfigurationProfile, "Declarations": &w.Declarations,
	})
	if err != nil {
		return Document{}, err
	}
	for i, encoded := range w.Declarations {
		var one Declaration
		err := object(encoded, map[string]any{
			"Type": &one.Type, "Identifier": &one.Identifier, "ServerToken": &one.ServerToken, "Payload": &one.Payload,
		})
		if err != nil {
			return Document{}, fmt.Errorf("esso: declaration %d: %w", i, err)
		}
		d.Declarations = append(d.Declarations, one)
	}
	d.ITunesStoreID, d.AppIDs, d.AssociatedDomains = w.ITunesStoreID, w.AppIDs, w.AssociatedDomains
	d.AssociatedDomainsEnableDirectDownloads = w.AssociatedDomainsEnableDirectDownloads
	d.ConfigurationProfile = w.ConfigurationProfile
	if err := d.Check(mode); err != nil {
		return Document{}, err
	}
	return d, nil
}

// object decodes the members of a JSON object that are named, by their exact
// spelling, which encoding/json does not insist on for structs.
func object(b []byte, into map[string]any) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(b, &members); err != nil || members == nil {
		return fmt.Errorf("%w: not a JSON object", ErrDocument)
	}
	for name, to := range into {
		value, ok := members[name]
		if !ok {
			continue
		}
		if bytes.Equal(value, []byte("null")) || json.Unmarshal(value, to) != nil {
			return fmt.Errorf("%w: %s is of another type", ErrDocument, name)
		}
	}
	return nil
}
