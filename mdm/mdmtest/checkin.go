package mdmtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"

	"github.com/enrollkit/enrollkit/internal/plist"
)

const (
	checkInType = "application/x-apple-aspen-mdm-checkin"
	connectType = "application/x-apple-aspen-mdm; charset=UTF-8"
	// maxAnswer bounds what the phone reads of an answer, in bytes.
	maxAnswer = 4 << 20
)

// Authenticate sends the first check-in message. When it fails, whatever the
// reason, the installation failed: key, EnrollmentID and profile are gone.
func (p *Phone) Authenticate(ctx context.Context) error {
	err := p.CheckIn(ctx, map[string]any{
		"MessageType": "Authenticate", "Topic": p.topic(),
		"OSVersion": p.cfg.OSVersion, "BuildVersion": p.cfg.Build, "ProductName": p.cfg.Product,
	})
	if err != nil {
		p.forget()
		p.waiting = nil
	}
	return err
}

// TokenUpdate sends the push token; the profile is installed then. Called again,
// after a failure or later, it sends the same token and magic.
func (p *Phone) TokenUpdate(ctx context.Context) error {
	token, magic, err := p.pushToken()
	if err != nil {
		return err
	}
	err = p.CheckIn(ctx, map[string]any{
		"MessageType": "TokenUpdate", "Topic": p.topic(), "Token": token,
		"PushMagic": magic, "AwaitingConfiguration": false,
	})
	if err != nil {
		return err
	}
	p.waiting = nil
	return nil
}

// CheckOut removes the profile from the phone, by its owner. The server is told
// once; whether that arrives or not, the phone is no longer managed.
func (p *Phone) CheckOut(ctx context.Context) error {
	err := p.CheckIn(ctx, map[string]any{"MessageType": "CheckOut", "Topic": p.topic()})
	p.forget()
	return err
}

// CheckIn sends one message to the check-in URL, with ExtraCheckIn and how the
// device is called added: EnrollmentID, or UDID under Device Enrollment.
func (p *Phone) CheckIn(ctx context.Context, message map[string]any) error {
	if p.identity == nil {
		return ErrNoProfile
	}
	message = maps.Clone(message)
	p.named(message)
	for k, v := range p.cfg.ExtraCheckIn {
		if message[k] = v; v == nil {
			delete(message, k)
		}
	}
	_, err := p.put(ctx, p.identity.Profile.CheckInURL, checkInType, message)
	return err
}

func (p *Phone) topic() string {
	if p.identity == nil {
		return ""
	}
	return p.identity.Profile.Topic
}

// once sends a signed property list and returns the answer of a 200.
func (p *Phone) once(ctx context.Context, address, contentType string, message map[string]any) ([]byte, error) {
	body, err := plist.Marshal(message)
	if err != nil {
		return nil, fmt.Errorf("mdmtest: message: %w", err)
	}
	signature, err := p.Sign(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, address, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("mdmtest: %w", err)
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("User-Agent", "MDM/1.0")
	if signature != "" {
		req.Header.Set("Mdm-Signature", signature)
	}
	p.authorize(req)
	resp, err := p.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("mdmtest: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if len(answer) > maxAnswer {
		err = errors.New("the answer is too large")
	}
	if err != nil {
		return nil, fmt.Errorf("mdmtest: %s: %w", req.URL.Path, err)
	}
	switch {
	case resp.StatusCode == http.StatusOK:
		return answer, nil
	case resp.StatusCode == http.StatusUnauthorized && p.identity.account != nil:
		return nil, &challengedError{req.URL.Path, resp.Header}
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden && unrecognized(answer):
		p.forget()
		return nil, fmt.Errorf("%w: %s answered %s", ErrLeft, req.URL.Path, resp.Status)
	default:
		return nil, fmt.Errorf("%w: %s answered %s", ErrRefused, req.URL.Path, resp.Status)
	}
}

// unrecognized reports whether the body of a 403 is Apple's document that makes
// a device leave
// (https://developer.apple.com/documentation/devicemanagement/errorunrecognizeddevice).
func unrecognized(body []byte) bool {
	var document struct {
		Code string `json:"code"`
	}
	return json.Unmarshal(body, &document) == nil && document.Code == "com.apple.unrecognized.device"
}
