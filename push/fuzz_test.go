package push_test

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/enrollkit/enrollkit/push"
)

// FuzzReason: what is read of an answer is bounded and reads the same when it is
// written again; what is too long, or not an answer, gives nothing.
func FuzzReason(f *testing.F) {
	for _, seed := range []string{
		`{"reason":"Unregistered","timestamp":1767323045678}`,
		`{"reason":"BadDeviceToken"}`,
		`{"reason":"Shutdown","timestamp":null}`,
		`{"reason":"Unregistered","timestamp":-1}`,
		`{"reason":"Unregistered","timestamp":9223372036854775807}`,
		`{"reason":"Unregistered","timestamp":"1767323045678"}`,
		`{"reason":"Unregistered","timestamp":1e400}`,
		`{"reason":"two words"}`,
		`{"reason":""}`,
		`{"reason":7}`,
		`{"reason":"A","reason":"B"}`,
		`{"Reason":"Case"}`,
		`{"StatusCode":200}`,
		`{"reason":"A"}{"reason":"B"}`,
		`[{"reason":"A"}]`,
		`null`,
		``,
		`<html>`,
		"\xff\xfe",
		`{"reason":"` + string(bytes.Repeat([]byte("A"), 65)) + `"}`,
		`{"reason":"A","x":"` + string(bytes.Repeat([]byte("A"), push.MaxAnswer)) + `"}`,
	} {
		f.Add([]byte(seed))
	}
	word := regexp.MustCompile(`^[A-Za-z0-9]{0,64}$`)
	f.Fuzz(func(t *testing.T, body []byte) {
		reason, timestamp := push.ReadReason(body)
		if !word.MatchString(reason) {
			t.Fatalf("reason %q", reason)
		}
		if !timestamp.IsZero() && (timestamp.Year() < 2000 || timestamp.Year() > 2099 || timestamp.Location() != time.UTC) {
			t.Fatalf("timestamp %v", timestamp)
		}
		if reason == "" {
			if !timestamp.IsZero() {
				t.Fatal("a timestamp of nothing")
			}
			return
		}
		if len(body) > push.MaxAnswer || !json.Valid(body) {
			t.Fatal("accepted what is not an answer")
		}
		answer := map[string]any{"reason": reason}
		if !timestamp.IsZero() {
			answer["timestamp"] = timestamp.UnixMilli()
		}
		again, err := json.Marshal(answer)
		if err != nil {
			t.Fatal(err)
		}
		if r, ts := push.ReadReason(again); r != reason || !ts.Equal(timestamp) {
			t.Fatalf("%q %v became %q %v", reason, timestamp, r, ts)
		}
	})
}

// FuzzRetryAfter: the wait is between nothing and a day, and reads the same when it
// is written again.
func FuzzRetryAfter(f *testing.F) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, seed := range []string{
		"0", "30", "3600", "86399", "86400", "86401", "9223372037", "18446744073709551615", "18446744073709551616", "-1", "1.5", "", " 30", "soon",
		"Fri, 02 Jan 2026 03:05:05 GMT", "Fri, 02 Jan 2026 03:04:04 GMT", "Friday, 02-Jan-26 04:04:05 GMT", "Fri Jan  2 03:04:35 2026", "Fri, 31 Dec 9999 23:59:59 GMT",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		wait := push.ReadRetryAfter(header, now)
		if wait < 0 || wait > 24*time.Hour {
			t.Fatalf("%q: %s", header, wait)
		}
		if again := push.ReadRetryAfter(strconv.FormatInt(int64(wait/time.Second), 10), now); again != wait.Truncate(time.Second) {
			t.Fatalf("%q: %s became %s", header, wait, again)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"":                               0,
		"0":                              0,
		"30":                             30 * time.Second,
		"3600":                           time.Hour,
		"86401":                          24 * time.Hour,
		"18446744073709551615":           24 * time.Hour,
		"-5":                             0,
		"soon":                           0,
		"Fri, 02 Jan 2026 03:05:05 GMT":  time.Minute,
		"Fri, 02 Jan 2026 03:04:04 GMT":  0,
		"Friday, 02-Jan-26 04:04:05 GMT": time.Hour,
		"Fri, 31 Dec 9999 23:59:59 GMT":  24 * time.Hour,
	} {
		if got := push.ReadRetryAfter(header, now); got != want {
			t.Errorf("%q: %s, want %s", header, got, want)
		}
	}
}
