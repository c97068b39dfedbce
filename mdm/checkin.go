package mdm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/enrollkit/enrollkit/internal/plist"
	"github.com/enrollkit/enrollkit/mdm/command"
)

// message is a check-in message
// (https://developer.apple.com/documentation/devicemanagement/check-in). It has
// no field for another hardware identifier on purpose.
type message struct {
	MessageType  string `plist:"MessageType"`
	EnrollmentID string `plist:"EnrollmentID"`
	// UDID names the device under Device Enrollment, and nothing beside an
	// EnrollmentID.
	UDID         any    `plist:"UDID"`
	UserID       any    `plist:"UserID"`
	Topic        string `plist:"Topic"`
	OSVersion    string `plist:"OSVersion"`
	BuildVersion string `plist:"BuildVersion"`
	ProductName  string `plist:"ProductName"`
	Token        []byte `plist:"Token"`
	PushMagic    string `plist:"PushMagic"`
}

// CheckIn serves the check-in URL: Authenticate, TokenUpdate and CheckOut.
func (s *Server) CheckIn() http.Handler {
	return &endpoint{server: s, contentType: checkInType, limit: maxCheckIn, handle: s.checkIn}
}

func (s *Server) checkIn(ctx context.Context, from sender, body []byte) ([]byte, error) {
	var m message
	if err := plist.Unmarshal(body, plist.Limits{Bytes: maxCheckIn}, &m); err != nil {
		return nil, badRequest("%v", err)
	}
	if m.MessageType == "UserAuthenticate" || m.UserID != nil {
		return nil, errUserChannel
	}
	udid, _ := m.UDID.(string)
	if err := from.name(m.EnrollmentID, udid); err != nil {
		return nil, err
	}
	switch m.MessageType {
	case "Authenticate":
		return nil, s.authenticate(ctx, from, m)
	case "TokenUpdate":
		return nil, s.tokenUpdate(ctx, from, m)
	case "CheckOut":
		return nil, s.checkOut(ctx, from, m)
	}
	return nil, badRequest("message type %q is not served", logged(m.MessageType))
}

func (s *Server) authenticate(ctx context.Context, from sender, m message) error {
	if err := s.checkTopic(m); err != nil {
		return err
	}
	for _, text := range []string{m.OSVersion, m.BuildVersion, m.ProductName} {
		if len(text) > maxDescription {
			return badRequest("a description of the device is too long")
		}
	}
	if m.OSVersion != "" && !supported(m.OSVersion) {
		return badRequest("OSVersion %q is before 13.1", logged(m.OSVersion))
	}
	e, err := s.cfg.Store.Authenticate(ctx, AuthenticateStep{
		Certificate: from.certificate, EnrollmentID: from.id, Device: from.device, Bearer: from.bearer, Topic: m.Topic,
		OSVersion: m.OSVersion, BuildVersion: m.BuildVersion, Product: m.ProductName,
		At: s.now(), DeviceLimit: s.cfg.DeviceLimit,
	})
	if err != nil {
		return s.failed("Authenticate", from, err)
	}
	s.cfg.Observer.Authenticated(ctx, e)
	return nil
}

func (s *Server) tokenUpdate(ctx context.Context, from sender, m message) error {
	if err := s.checkTopic(m); err != nil {
		return err
	}
	if len(m.Token) == 0 || len(m.Token) > maxToken {
		return badRequest("Token is not of 1 to %d bytes", maxToken)
	}
	if m.PushMagic == "" || len(m.PushMagic) > maxMagic {
		return badRequest("PushMagic is not of 1 to %d bytes", maxMagic)
	}
	step := TokenUpdateStep{
		Certificate: from.certificate, EnrollmentID: from.id, Device: from.device, Bearer: from.bearer,
		Topic: m.Topic, Token: m.Token, PushMagic: m.PushMagic, At: s.now(),
	}
	e, err := s.cfg.Store.TokenUpdate(ctx, step)
	first := errors.Is(err, ErrPlanNeeded)
	if first {
		if step.Plan, err = s.plan(ctx, e); err != nil {
			return err
		}
		step.Planned = true
		e, err = s.cfg.Store.TokenUpdate(ctx, step)
	}
	if err != nil {
		return s.failed("TokenUpdate", from, err)
	}
	if first {
		s.cfg.Kick()
		s.cfg.Observer.Enrolled(ctx, e)
	}
	return nil
}

// plan asks the planner, holds its commands against the gate and completes them.
func (s *Server) plan(ctx context.Context, e Enrollment) ([]Command, error) {
	if s.cfg.Planner == nil {
		return nil, nil
	}
	planned, err := s.cfg.Planner.Plan(ctx, e)
	if err != nil {
		return nil, fmt.Errorf("mdm: plan: %w", err)
	}
	now := s.now()
	commands := make([]Command, 0, len(planned))
	for _, c := range planned {
		uuid, request, err := decodeCommand(c.Payload)
		if err != nil {
			return nil, fmt.Errorf("mdm: plan: command %q: %w", c.UUID, err)
		}
		if uuid != c.UUID {
			return nil, fmt.Errorf("mdm: plan: command %q is written under the UUID %q", c.UUID, uuid)
		}
		if err := allowed(e.Way, s.cfg.AccessRights, request); err != nil {
			return nil, fmt.Errorf("mdm: plan: %w", err)
		}
		commands = append(commands, Command{UUID: uuid, EnrollmentID: e.ID, RequestType: request.Type, Payload: c.Payload, Status: CommandQueued, Queued: now, Updated: now})
	}
	return commands, nil
}

func (s *Server) checkOut(ctx context.Context, from sender, m message) error {
	if err := s.checkTopic(m); err != nil {
		return err
	}
	e, err := s.cfg.Store.CheckOut(ctx, CheckOutStep{Certificate: from.certificate, EnrollmentID: from.id, Device: from.device, Bearer: from.bearer, At: s.now()})
	if err != nil {
		return s.failed("CheckOut", from, err)
	}
	s.cfg.Observer.Unenrolled(ctx, e)
	return nil
}

func (s *Server) checkTopic(m message) error {
	if m.Topic == "" {
		return badRequest("Topic is missing")
	}
	if m.Topic != s.cfg.Topic {
		return badRequest("Topic is not ours")
	}
	return nil
}

// errUserChannel answers messages of a user of a shared device. There are none
// here, and their push tokens must not become the device's.
var errUserChannel = &refusal{status: http.StatusGone, reason: "there are no users on this channel"}

// supported reports whether an OSVersion is 13.1 or later, where User Enrollment
// begins and below which the portal lets nobody in.
func supported(version string) bool {
	majorText, rest, _ := strings.Cut(version, ".")
	major, err := strconv.ParseUint(majorText, 10, 16)
	if err != nil {
		return false
	}
	minorText, _, _ := strings.Cut(rest, ".")
	minor, err := strconv.ParseUint(minorText, 10, 16)
	if rest != "" && err != nil {
		return false
	}
	return major > 13 || major == 13 && minor >= 1
}

// decodeCommand reads a command that command.Encode, or a planner, wrote.
func decodeCommand(payload []byte) (uuid string, c command.Raw, err error) {
	var decoded struct {
		CommandUUID string         `plist:"CommandUUID"`
		Command     map[string]any `plist:"Command"`
	}
	if err := plist.Unmarshal(payload, profileLimits, &decoded); err != nil {
		return "", command.Raw{}, err
	}
	name, _ := decoded.Command["RequestType"].(string)
	delete(decoded.Command, "RequestType")
	if decoded.CommandUUID == "" || name == "" {
		return "", command.Raw{}, fmt.Errorf("%w: not a command", command.ErrInvalid)
	}
	return decoded.CommandUUID, command.Raw{Type: name, Values: decoded.Command}, nil
}
