package mdmtest

import (
	"fmt"
	"io"
	"strings"

	"github.com/enrollkit/enrollkit/enroll/machineinfo"
)

// complete fills in what follows from the version of iOS and the model.
func (c *Config) complete() error {
	info := machineinfo.Info{Product: c.Product, OSVersion: c.OSVersion}
	os, ok := info.OS()
	if !ok {
		return fmt.Errorf("mdmtest: Config.OSVersion %q is not a version such as 26.1", c.OSVersion)
	}
	if c.Build == "" {
		c.Build = build(c.OSVersion, os)
	}
	if c.Agent == "" {
		c.Agent = agent(c.OSVersion, os, info.Family() == "iPad")
	}
	if c.Account.Language == "" {
		c.Account.Language = "en-GB"
	}
	if c.Account.DomainURL == nil {
		c.Account.DomainURL = func(domain string) string { return "https://" + domain }
	}
	var id [16]byte
	if _, err := io.ReadFull(c.Random, id[:]); err != nil {
		return fmt.Errorf("mdmtest: randomness: %w", err)
	}
	if c.UDID == "" {
		c.UDID = fmt.Sprintf("%08X-%016X", id[:4], id[4:12])
	}
	if c.SerialNumber == "" {
		c.SerialNumber = fmt.Sprintf("SIM%07X", id[12:16])[:10]
	}
	return nil
}

// build is the build number of a version, made up where it is not one of those
// that are known.
func build(version string, os machineinfo.OS) string {
	known := map[string]string{"17.6.1": "21G93", "18.6": "22G86", "26.1": "23B85"}
	if b, ok := known[version]; ok {
		return b
	}
	number := os.Major + 4
	if os.Major >= 26 {
		number = os.Major - 3
	}
	return fmt.Sprintf("%d%c100", number, 'A'+rune(os.Minor%26))
}

// agent is what Safari calls itself. From iOS 26 on only its own version moves,
// and on an iPad it says that it is a Mac.
func agent(version string, os machineinfo.OS, pad bool) string {
	if pad {
		return fmt.Sprintf("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/%d.%d Safari/605.1.15", os.Major, os.Minor)
	}
	system := strings.ReplaceAll(version, ".", "_")
	if os.Major >= 26 {
		system = "18_6"
	}
	return fmt.Sprintf("Mozilla/5.0 (iPhone; CPU iPhone OS %s like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/%d.%d Mobile/15E148 Safari/604.1", system, os.Major, os.Minor)
}

// info is what the phone says of itself.
func (p *Phone) info() machineinfo.Info {
	return machineinfo.Info{Product: p.cfg.Product, Version: p.cfg.Build, Language: p.cfg.Account.Language, OSVersion: p.cfg.OSVersion}
}

// before reports whether the phone's iOS is older than major.minor.
func (p *Phone) before(major, minor int) bool {
	os, _ := p.info().OS() // New has read it
	return os.Before(major, minor)
}

// named adds to a message how this device is called under its enrollment.
func (p *Phone) named(message map[string]any) {
	if p.identity.UDID != "" {
		message["UDID"] = p.identity.UDID
		if message["MessageType"] == "Authenticate" {
			message["SerialNumber"] = p.cfg.SerialNumber
		}
		return
	}
	message["EnrollmentID"] = p.identity.EnrollmentID
}
