package mdm

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/enrollkit/enrollkit/internal/plist"
	"github.com/enrollkit/enrollkit/mdm/command"
)

// maxErrorChain is how many errors of a report are kept; the first one is the
// command's own, the others are its causes.
const maxErrorChain = 16

var connectLimits = plist.Limits{Bytes: maxConnect, Depth: 16, Elements: 100_000}

// Connect serves the server URL: a device reports the result of a command and
// is given the next one
// (https://developer.apple.com/documentation/devicemanagement/sending-mdm-commands-to-a-device).
func (s *Server) Connect() http.Handler {
	return &endpoint{server: s, contentType: connectType, limit: maxConnect, handle: s.connect}
}

func (s *Server) connect(ctx context.Context, from sender, body []byte) ([]byte, error) {
	step, err := parseReport(&from, body)
	if err != nil {
		return nil, err
	}
	step.Certificate, step.EnrollmentID, step.Device, step.Bearer = from.certificate, from.id, from.device, from.bearer
	step.At, step.NotNowRetry = s.now(), notNowRetry
	exchanged, err := s.cfg.Store.Exchange(ctx, step)
	if errors.Is(err, ErrEnded) {
		return nil, s.leave(ctx, from)
	}
	if err != nil {
		return nil, s.failed("connect", from, err)
	}
	if exchanged.Reported != nil {
		s.cfg.Observer.CommandResult(ctx, *exchanged.Reported)
	}
	if exchanged.Next == nil {
		return nil, nil
	}
	return exchanged.Next.Payload, nil
}

// leave is the answer that makes a device forget an enrollment that ended.
func (s *Server) leave(ctx context.Context, from sender) error {
	e, err := s.cfg.Store.Enrollment(ctx, from.id)
	if err != nil {
		return s.failed("connect after the end", from, err)
	}
	if e.Way.Account() {
		return &refusal{status: http.StatusForbidden, reason: ErrEnded.Error(), body: unrecognized}
	}
	return &refusal{status: http.StatusUnauthorized, reason: ErrEnded.Error()}
}

// parseReport reads a connect request into a step without its sender, and names
// the sender.
func parseReport(from *sender, body []byte) (ExchangeStep, error) {
	var report map[string]any
	if err := plist.Unmarshal(body, connectLimits, &report); err != nil {
		return ExchangeStep{}, badRequest("%v", err)
	}
	text := func(key string) string {
		value, _ := report[key].(string)
		return value
	}
	if report["UserID"] != nil {
		return ExchangeStep{}, errUserChannel
	}
	if err := from.name(text("EnrollmentID"), text("UDID")); err != nil {
		return ExchangeStep{}, err
	}
	step := ExchangeStep{CommandUUID: text("CommandUUID"), Status: CommandStatus(text("Status"))}
	if len(step.CommandUUID) > command.MaxUUID {
		return ExchangeStep{}, badRequest("CommandUUID is too long")
	}
	switch step.Status {
	case "Idle":
		return ExchangeStep{Idle: true}, nil
	case CommandAcknowledged, CommandError, CommandNotNow:
		if step.CommandUUID == "" {
			return ExchangeStep{}, badRequest("CommandUUID is missing")
		}
	case CommandFormatError:
	default:
		return ExchangeStep{}, badRequest("status %q is unknown", logged(string(step.Status)))
	}
	step.Result = result(report, body, from.device)
	return step, nil
}

// result is what of a report is stored: the report as received, or without
// what names the hardware and without the tail of an endless chain of errors.
// Under Device Enrollment a server may ask for the hardware.
func result(report map[string]any, body []byte, device bool) []byte {
	changed := false
	if !device {
		changed = withoutForbidden(report)
		changed = scrub(report) || changed
	}
	if chain, ok := report["ErrorChain"].([]any); ok && len(chain) > maxErrorChain {
		report["ErrorChain"], changed = chain[:maxErrorChain], true
	}
	if !changed {
		return body
	}
	b, err := plist.Marshal(report)
	if err != nil { // a character that XML cannot hold: the outcome counts
		b, err = plist.Marshal(map[string]any{"Status": report["Status"], "EnrollmentID": report["EnrollmentID"]})
		if err != nil {
			return nil
		}
	}
	return b
}

// scrub removes, at any depth, the keys that name the hardware or its line, and
// reports whether there were any. plist's bound on depth bounds it.
func scrub(value any) (removed bool) {
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			if namesHardware[strings.ToLower(key)] {
				delete(v, key)
				removed = true
				continue
			}
			removed = scrub(inner) || removed
		}
	case []any:
		for _, inner := range v {
			removed = scrub(inner) || removed
		}
	}
	return removed
}

// namesHardware are keys, in lower case, whose values identify a device or its
// SIM beyond this enrollment.
var namesHardware = set(`
	bluetoothmac easdeviceidentifier eid ethernetmac ethernetmacs iccid imei
	itunesstoreaccounthash meid phonenumber provisioningudid serialnumber
	softwareupdatedeviceid udid wifimac`)
