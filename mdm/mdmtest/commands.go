package mdmtest

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/enrollkit/enrollkit/internal/plist"
)

// Installed is a profile that the server installed by command.
type Installed struct {
	CommandUUID string
	// Identifier and UUID are the profile's.
	Identifier, UUID string
	// Payloads are the payload dictionaries as the phone read them.
	Payloads []map[string]any
}

// Installed lists the profiles that commands installed.
func (p *Phone) Installed() []Installed {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.installed)
}

// maxCommands bounds one session.
const maxCommands = 100

var commandLimits = plist.Limits{Bytes: maxAnswer, Depth: 16, Elements: 20000}

// Connect runs one session: Idle, then each command the server sends, until it
// answers with an empty body. It returns how many commands came. A session that
// failed goes on when Connect is called again: it begins with the report that
// the server did not take, if there is one.
func (p *Phone) Connect(ctx context.Context) (int, error) {
	if p.identity == nil {
		return 0, ErrNoProfile
	}
	for n := range maxCommands {
		report := p.report
		if report == nil {
			report = map[string]any{"Status": "Idle"}
		}
		p.named(report)
		body, err := p.put(ctx, p.identity.Profile.ServerURL, connectType, report)
		if err != nil {
			return n, err
		}
		p.report = nil
		if len(body) == 0 {
			return n, nil
		}
		p.report = p.execute(body)
	}
	return maxCommands, errors.New("mdmtest: the session does not end")
}

// execute carries out a command and returns the report.
func (p *Phone) execute(body []byte) map[string]any {
	var command struct {
		CommandUUID string
		Command     struct {
			RequestType string
			Payload     []byte `plist:",omitempty"`
			Identifier  string `plist:",omitempty"`
		}
	}
	if err := plist.Unmarshal(body, commandLimits, &command); err != nil || command.CommandUUID == "" || command.Command.RequestType == "" {
		return map[string]any{"Status": "CommandFormatError"}
	}
	report := map[string]any{"CommandUUID": command.CommandUUID, "Status": "Acknowledged"}
	kind := command.Command.RequestType
	switch {
	case p.notNow[kind]:
		delete(p.notNow, kind)
		report["Status"] = "NotNow"
	case p.fails[kind]:
		failed(report, "the phone was told to fail here")
	case kind == "InstallProfile":
		if err := p.installProfile(command.CommandUUID, command.Command.Payload); err != nil {
			failed(report, err.Error())
		}
	case kind == "RemoveProfile":
		if !p.removeProfile(command.Command.Identifier) {
			failed(report, "there is no such profile")
		}
	default:
		maps.Copy(report, p.answer(kind))
	}
	return report
}

func failed(report map[string]any, why string) {
	report["Status"] = "Error"
	report["ErrorChain"] = []any{map[string]any{
		"ErrorCode": 4001, "ErrorDomain": "MCInstallationErrorDomain", "LocalizedDescription": why,
	}}
}

// installProfile installs a profile; one of the same identifier is replaced.
func (p *Phone) installProfile(commandUUID string, payload []byte) error {
	installed, err := parseInstalled(payload)
	if err != nil {
		return err
	}
	installed.CommandUUID = commandUUID
	p.removeProfile(installed.Identifier)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.installed = append(p.installed, installed)
	return nil
}

func (p *Phone) removeProfile(identifier string) (found bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := len(p.installed)
	p.installed = slices.DeleteFunc(p.installed, func(i Installed) bool { return i.Identifier == identifier })
	return len(p.installed) < before
}
