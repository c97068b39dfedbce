package push

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// maxAnswer is how much of an answer's body is read, in bytes. APNs sends less
// than 100.
const maxAnswer = 4 << 10

// maxReason bounds a reason in bytes.
const maxReason = 64

// maxRetryAfter bounds what is believed of a Retry-After header.
const maxRetryAfter = 24 * time.Hour

// Answer is what APNs answered to one push
// (https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns).
type Answer struct {
	// ID is the apns-id of the push, a UUID in lower case.
	ID string
	// Status is the HTTP status. It is 0 when APNs closed the connection and
	// gave a reason for that.
	Status int
	// Reason is APNs's word for what is wrong, of at most 64 letters and digits.
	// It is empty when nothing is wrong, or when the answer did not come from
	// APNs or was not understood.
	Reason string
	// Timestamp goes with status 410: the token is of no use since then. It is
	// the zero time when unknown.
	Timestamp time.Time
	// RetryAfter is how long APNs asks to wait, at most 24 hours.
	RetryAfter time.Duration
}

// Verdict is what an Answer means for whoever sent the push.
type Verdict string

// The verdicts.
const (
	// VerdictAccepted: APNs took the push and delivers it when the device is
	// reachable.
	VerdictAccepted Verdict = "accepted"
	// VerdictRetry: try again later, not before Answer.RetryAfter.
	VerdictRetry Verdict = "retry"
	// VerdictDead: the token is of no use any more. The device may well be
	// enrolled; its next TokenUpdate makes it reachable.
	VerdictDead Verdict = "dead"
	// VerdictRefused: APNs refuses this server, because of its certificate or of
	// a mistake in its requests. It would refuse every other push as well.
	VerdictRefused Verdict = "refused"
)

// Verdict says what to do. A reason that APNs is not known to give with that
// status, such as none in the page of a proxy, is no ground to give up a token.
func (a Answer) Verdict() Verdict {
	switch a.Status {
	case http.StatusOK:
		return VerdictAccepted
	case http.StatusForbidden:
		return VerdictRefused
	case http.StatusGone:
		switch a.Reason {
		case "Unregistered", "ExpiredToken":
			return VerdictDead
		}
	case http.StatusBadRequest:
		switch a.Reason {
		case "BadDeviceToken", "DeviceTokenNotForTopic":
			return VerdictDead
		case "BadCollapseId", "BadExpirationDate", "BadMessageId", "BadPriority", "BadTopic",
			"DuplicateHeaders", "InvalidPushType", "MissingDeviceToken", "MissingTopic",
			"PayloadEmpty", "TopicDisallowed":
			return VerdictRefused
		}
	case http.StatusNotFound:
		if a.Reason == "BadPath" {
			return VerdictRefused
		}
	case http.StatusMethodNotAllowed:
		if a.Reason == "MethodNotAllowed" {
			return VerdictRefused
		}
	case http.StatusRequestEntityTooLarge:
		if a.Reason == "PayloadTooLarge" {
			return VerdictRefused
		}
	case 0:
		switch a.Reason {
		case "BadCertificate", "BadCertificateEnvironment", "Forbidden":
			return VerdictRefused
		}
	}
	return VerdictRetry
}

// String is the status and the reason.
func (a Answer) String() string {
	if a.Reason == "" {
		return fmt.Sprintf("status %d", a.Status)
	}
	return fmt.Sprintf("status %d, %s", a.Status, a.Reason)
}

// readReason reads the body of an answer, or the debug data of a GOAWAY frame.
// What is not APNs's JSON gives neither reason nor time.
func readReason(body []byte) (reason string, timestamp time.Time) {
	if len(body) > maxAnswer {
		return "", time.Time{}
	}
	var answer struct {
		Reason    string `json:"reason"`
		Timestamp int64  `json:"timestamp"` // milliseconds
	}
	if err := json.Unmarshal(body, &answer); err != nil || !isReason(answer.Reason) {
		return "", time.Time{}
	}
	at := time.UnixMilli(answer.Timestamp).UTC()
	if at.Year() < 2000 || at.Year() >= 2100 {
		at = time.Time{}
	}
	return answer.Reason, at
}

func isReason(s string) bool {
	if s == "" || len(s) > maxReason {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// readRetryAfter reads the header of that name (RFC 9110 §10.2.3), which is a
// number of seconds or a date.
func readRetryAfter(header string, now time.Time) time.Duration {
	var wait time.Duration
	if seconds, err := strconv.ParseUint(header, 10, 64); err == nil {
		wait = maxRetryAfter
		if seconds < uint64(maxRetryAfter/time.Second) {
			wait = time.Duration(seconds) * time.Second
		}
	} else if at, err := http.ParseTime(header); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), maxRetryAfter)
}
