package main

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/enroll/discovery"
	"github.com/enrollkit/enrollkit/enroll/machineinfo"
)

// way is how the simulated phone enrolls.
type way string

const (
	// wayProfile is User Enrollment by a downloaded profile.
	wayProfile way = "profile"
	// wayAccount is account-driven User Enrollment with a web sign-in.
	wayAccount way = "account"
	// wayOAuth2 is account-driven User Enrollment with OAuth 2.
	wayOAuth2 way = "oauth2"
	// wayADDE is account-driven Device Enrollment.
	wayADDE way = "adde"
	// wayDevice is Device Enrollment by a downloaded profile.
	wayDevice way = "device"
)

var ways = []way{wayProfile, wayAccount, wayOAuth2, wayADDE, wayDevice}

func wayNames() string {
	names := make([]string, len(ways))
	for i, w := range ways {
		names[i] = string(w)
	}
	return strings.Join(names, ", ")
}

// judgeWay completes the way by the version of iOS.
func (o *options) judgeWay() error {
	os, ok := machineinfo.Info{OSVersion: o.ios}.OS()
	if !ok || os.Major == 0 {
		return fmt.Errorf("-ios %q is not a version such as 17.6", o.ios)
	}
	switch {
	case o.way == "" && os.Before(18, 0):
		o.way = wayProfile
	case o.way == "":
		o.way = wayAccount
	case !slices.Contains(ways, o.way):
		return fmt.Errorf("-way %q is none of %s", o.way, wayNames())
	}
	return nil
}

// account reports whether the person starts in Settings, and not in Safari.
func (w way) account() bool { return w == wayAccount || w == wayOAuth2 || w == wayADDE }

// method is how devices sign people in. A portal has one method, which is
// therefore that of the phone; it does not matter to the other ways.
func (w way) method() enroll.AccountMethod {
	if w == wayOAuth2 {
		return enroll.MethodOAuth2
	}
	return enroll.MethodWeb
}

// deviceGroup are the people who may choose Device Enrollment, in which the
// company sees and may do more.
const deviceGroup = "engineering"

// families are the kinds of device that discovery sends to account-driven Device
// Enrollment; the others, if there are any, get User Enrollment.
func (w way) families() []string {
	if w != wayADDE {
		return nil
	}
	return []string{string(discovery.IPhone), string(discovery.IPad)}
}

// domain is the mail domain of the people here.
const domain = "example.com"

// openDiscovery tells devices that ask for the domain where to enroll. A company
// mounts the same handler on its domain's own web server.
func openDiscovery(w way, portal *enroll.Portal, logger *slog.Logger) (*discovery.Handler, error) {
	org := discovery.Organization{Domains: []string{domain}, BYOD: portal.AccountURL(false)}
	if families := w.families(); families != nil {
		org.BYOD, org.ADDE, org.Families = "", portal.AccountURL(true), map[discovery.Family]discovery.Version{}
		for _, f := range families {
			org.Families[discovery.Family(f)] = discovery.ADDE
		}
	}
	return discovery.New(discovery.Config{Organizations: []discovery.Organization{org}, Logger: logger})
}
