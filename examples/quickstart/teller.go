package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/enroll/discovery"
)

// detail is what there is to say about a step.
type detail map[string]any

// teller prints the steps of the story, one JSON object a line or in plain words.
type teller struct {
	out   io.Writer
	json  bool
	begun time.Time
}

func newTeller(out io.Writer, json bool) *teller {
	return &teller{out: out, json: json, begun: time.Now()}
}

// step tells that a step held.
func (t *teller) step(name string, d detail) {
	if t.json {
		t.line(line{Step: name, OK: true, Detail: d})
		return
	}
	t.say(name, words(name, d))
}

// failed tells which step did not hold. It is the last one.
func (t *teller) failed(name string, err error) {
	if t.json {
		t.line(line{Step: name, Error: err.Error()})
		return
	}
	t.say(name, "FAILED: "+err.Error())
}

// open tells, in plain words only, that the server stays up.
func (t *teller) open(base string) {
	if !t.json {
		fmt.Fprintf(t.out, "\nThe portal stays open at %s\n(alice@example.com or bob@example.com, password %q).\nDevices of %s find the server at %s\n(those that device-ca.pem certified are believed). Ctrl-C ends it.\n",
			base+enroll.DefaultPrefix, password, domain, base+discovery.Path)
	}
}

// line is a step as other programs read it.
type line struct {
	Step   string `json:"step"`
	OK     bool   `json:"ok"`
	Detail detail `json:"detail,omitempty"`
	Error  string `json:"error,omitempty"`
}

func (t *teller) line(l line) {
	encoded, err := json.Marshal(l)
	if err != nil { // a detail that JSON has no place for
		encoded = fmt.Appendf(nil, `{"step":%q,"ok":false,"error":%q}`, l.Step, err.Error())
	}
	fmt.Fprintf(t.out, "%s\n", encoded)
}

func (t *teller) say(name, sentence string) {
	fmt.Fprintf(t.out, "%8.3fs  %-12s  %s\n", time.Since(t.begun).Seconds(), name, sentence)
}

// words says a step in plain words.
func words(name string, d detail) string {
	switch name {
	case "listen":
		return fmt.Sprintf("The server listens at %s, the APNs stand-in at %s. Database and keys are in %s (trust ca.pem, or accept the browser's warning).", d["url"], d["apns"], d["data"])
	case "discovery":
		return fmt.Sprintf("The phone asked %s where its people enroll: at %s (%s).", d["domain"], d["base_url"], d["version"])
	case "challenge":
		return fmt.Sprintf("The phone said what it is, signed with its built-in identity. Its owner is to sign in (%s).", d["method"])
	case "signin":
		return fmt.Sprintf("%s signed in at the identity provider, on a simulated iPhone.", d["user"])
	case "jit":
		what := "was known already; their record was refreshed"
		if d["created"] == true {
			what = "was not known; their record was made just in time"
		}
		return fmt.Sprintf("The person %s: groups %s, Managed Apple Account %s.", what, list(d["groups"]), d["managed_apple_account"])
	case "ticket":
		return fmt.Sprintf("A ticket was issued for this one device. Its reference is %s.", d["ref"])
	case "token":
		what := "It lives until somebody revokes it."
		if d["refreshable"] == true {
			what = "It is short-lived, and the phone can refresh it."
		}
		return "The phone has a bearer token, which comes with each of its requests from now on. " + what
	case "profile":
		return fmt.Sprintf("The enrollment profile is on the phone, and its signature verified: %s.", d["file"])
	case "identity":
		return fmt.Sprintf("The phone made a key and got its certificate by SCEP, valid until %s.", d["not_after"])
	case "authenticate":
		return fmt.Sprintf("The phone checked in (Authenticate) as %s.", d["enrollment_id"])
	case "token-update":
		return "The phone sent its push token (TokenUpdate). It is enrolled, and its group's policy is queued."
	case "push":
		return fmt.Sprintf("A push woke the phone; APNs answered %v.", d["status"])
	case "sso":
		where := d["urls"]
		if where == nil {
			where = d["hosts"]
		}
		return fmt.Sprintf("The phone fetched and installed the Extensible SSO policy: %s (%s) for %s.", d["extension"], d["type"], list(where))
	case "done":
		return fmt.Sprintf("Done, %.1f seconds from the first request to single sign-on.", d["seconds"])
	}
	return fmt.Sprint(d)
}

// list writes a list of texts, also one that was read from a property list.
func list(v any) string {
	if texts, ok := v.([]string); ok {
		return strings.Join(texts, ", ")
	}
	items, _ := v.([]any)
	texts := make([]string, len(items))
	for i, item := range items {
		texts[i] = fmt.Sprint(item)
	}
	return strings.Join(texts, ", ")
}
