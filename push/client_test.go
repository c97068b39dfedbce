package push_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/push"
	"github.com/enrollkit/enrollkit/push/pushtest"
)

func TestPushWhatArrives(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for name, c := range map[string]struct {
		change func(*push.ClientConfig)
		magic  string
		want   time.Time
	}{
		"plain":              {func(*push.ClientConfig) {}, "0FA1C2D3-MAGIC", now.Add(28 * 24 * time.Hour)},
		"magic to be quoted": {func(*push.ClientConfig) {}, `<"&\é` + "\x01", now.Add(28 * 24 * time.Hour)},
		"an hour":            {func(c *push.ClientConfig) { c.Lifetime = time.Hour }, "M", now.Add(time.Hour)},
		"try once":           {func(c *push.ClientConfig) { c.Lifetime = -1 }, "M", time.Unix(0, 0).UTC()},
	} {
		t.Run(name, func(t *testing.T) {
			apns := pushtest.New(t, func(c *pushtest.Config) { c.Now = func() time.Time { return now } })
			client := newClient(t, apns, func(c *push.ClientConfig) { c.Now = func() time.Time { return now } }, c.change)
			target := device(1)
			target.Magic = c.magic

			answer, err := client.Push(t.Context(), target)
			require.NoError(t, err)
			require.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, answer.ID)
			require.Equal(t, push.Answer{ID: answer.ID, Status: 200}, answer)
			require.Equal(t, push.VerdictAccepted, answer.Verdict())
			require.Equal(t, []pushtest.Push{{
				Token: target.Token, Magic: c.magic, APNsID: answer.ID, Topic: target.Topic, Expiration: c.want,
				Certificate: digest(apns.PushCertificate()), Time: now,
			}}, apns.Pushes())
		})
	}
}

// TestPushAnswers has every reason of Apple's table, and what others send in its
// place.
func TestPushAnswers(t *testing.T) {
	apns := pushtest.New(t)
	client := newClient(t, apns)
	since := time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
	for _, c := range []struct {
		reply   pushtest.Reply
		verdict push.Verdict
		want    push.Answer
	}{
		{pushtest.Reply{Status: 400, Reason: "BadDeviceToken"}, push.VerdictDead, push.Answer{Status: 400, Reason: "BadDeviceToken"}},
		{pushtest.Reply{Status: 400, Reason: "DeviceTokenNotForTopic"}, push.VerdictDead, push.Answer{Status: 400, Reason: "DeviceTokenNotForTopic"}},
		{pushtest.Reply{Status: 400, Reason: "BadCollapseId"}, push.VerdictRefused, push.Answer{Status: 400, Reason: "BadCollapseId"}},
		{pushtest.Reply{Status: 400, Reason: "BadExpirationDate"}, push.VerdictRefused, push.Answer{Status: 400, Reason: "BadExpirationDate"}},
		{pushtest.Reply{Status: 400, Reason: "BadMessageId"}, push.VerdictRefused, push.Answer{Status: 400, Reason: "BadMessageId"}},
		{pushtest.Reply{Status: 400, Reason: "BadPriority"}, push.VerdictRefused, push.Answer{Status: 400, Reason: "BadPriority"}},
		{pushtest.Reply{Status: 400, Reason: "BadTopic"}, push.VerdictRefused, push.Answer{Status: 400, Reason: "BadTopic"}},
		{pushtest.Reply{Status: 400, Reason: "DuplicateHeaders"}, push.VerdictRefused, push.Answer{Status: 400, Reason: "DuplicateHeaders"}},
		{pushtest.Reply{Status: 400, Reason: "InvalidPushType"}, push.VerdictRefused, push.Answer{Status: 400, Reason: "InvalidPushType"}},
		{pushtest.Reply{Status: 400, Reason: "MissingDeviceToken"}, push.VerdictRefused, push.Answer{Status: 400, Reason: "MissingDeviceToken"}},
		{pushtest.Reply{Status: 400, Reason: "MissingTopic"}, push.VerdictRefused, push.Answer{Status: 400, Reason: "MissingTopic"}},
		{pushtest.Reply{Status: 400, Reason: "PayloadEmpty"}, push.VerdictRefused, push.Answer{Status: 400, Reason: "PayloadEmpty"}},
		{pushtest.Reply{Status: 400, Reason: "TopicDisallowed"}, push.VerdictRefused, push.Answer{Status: 400, Reason: "TopicDisallowed"}},
		{pushtest.Reply{Status: 400, Reason: "IdleTimeout"}, push.VerdictRetry, push.Answer{Status: 400, Reason: "IdleTimeout"}},
		{pushtest.Reply{Status: 400, Reason: "InventedTomorrow"}, push.VerdictRetry, push.Answer{Status: 400, Reason: "InventedTomorrow"}},
		{pushtest.Reply{Status: 403, Reason: "BadCertificate"}, push.VerdictRefused, push.Answer{Status: 403, Reason: "BadCertificate"}},
		{pushtest.Reply{Status: 403, Reason: "BadCertificateEnvironment"}, push.VerdictRefused, push.Answer{Status: 403, Reason: "BadCertificateEnvironment"}},
		{pushtest.Reply{Status: 403, Reason: "ExpiredProviderToken"}, push.VerdictRefused, push.Answer{Status: 403, Reason: "ExpiredProviderToken"}},
		{pushtest.Reply{Status: 403, Reason: "Forbidden"}, push.VerdictRefused, push.Answer{Status: 403, Reason: "Forbidden"}},
		{pushtest.Reply{Status: 403, Reason: "InvalidProviderToken"}, push.VerdictRefused, push.Answer{Status: 403, Reason: "InvalidProviderToken"}},
		{pushtest.Reply{Status: 403, Reason: "MissingProviderToken"}, push.VerdictRefused, push.Answer{Status: 403, Reason: "MissingProviderToken"}},
		{pushtest.Reply{Status: 403, Fault: pushtest.HTML}, push.VerdictRefused, push.Answer{Status: 403}},
		{pushtest.Reply{Status: 404, Reason: "BadPath"}, push.VerdictRefused, push.Answer{Status: 404, Reason: "BadPath"}},
		{pushtest.Reply{Status: 404, Fault: pushtest.HTML}, push.VerdictRetry, push.Answer{Status: 404}},
		{pushtest.Reply{Status: 405, Reason: "MethodNotAllowed"}, push.VerdictRefused, push.Answer{Status: 405, Reason: "MethodNotAllowed"}},
		{pushtest.Reply{Status: 405, Fault: pushtest.HTML}, push.VerdictRetry, push.Answer{Status: 405}},
		{pushtest.Reply{Status: 410, Reason: "ExpiredToken", Timestamp: since}, push.VerdictDead, push.Answer{Status: 410, Reason: "ExpiredToken", Timestamp: since}},
		{pushtest.Reply{Status: 410, Reason: "Unregistered", Timestamp: since}, push.VerdictDead, push.Answer{Status: 410, Reason: "Unregistered", Timestamp: since}},
		{pushtest.Reply{Status: 410, Reason: "Unregistered"}, push.VerdictDead, push.Answer{Status: 410, Reason: "Unregistered"}},
		{pushtest.Reply{Status: 410, Fault: pushtest.HTML}, push.VerdictRetry, push.Answer{Status: 410}},
		{pushtest.Reply{Status: 413, Reason: "PayloadTooLarge"}, push.VerdictRefused, push.Answer{Status: 413, Reason: "PayloadTooLarge"}},
		{pushtest.Reply{Status: 413, Fault: pushtest.HTML}, push.VerdictRetry, push.Answer{Status: 413}},
		{pushtest.Reply{Status: 429, Reason: "TooManyProviderTokenUpdates"}, push.VerdictRetry, push.Answer{Status: 429, Reason: "TooManyProviderTokenUpdates"}},
		{pushtest.Reply{Status: 429, Reason: "TooManyRequests"}, push.VerdictRetry, push.Answer{Status: 429, Reason: "TooManyRequests"}},
		{pushtest.Reply{Status: 429, Reason: "TooManyRequests", RetryAfter: "3600"}, push.VerdictRetry, push.Answer{Status: 429, Reason: "TooManyRequests", RetryAfter: time.Hour}},
		{pushtest.Reply{Status: 500, Reason: "InternalServerError"}, push.VerdictRetry, push.Answer{Status: 500, Reason: "InternalServerError"}},
		{pushtest.Reply{Fault: pushtest.HTML}, push.VerdictRetry, push.Answer{Status: 502}},
		{pushtest.Reply{Status: 503, Reason: "ServiceUnavailable", RetryAfter: "30"}, push.VerdictRetry, push.Answer{Status: 503, Reason: "ServiceUnavailable", RetryAfter: 30 * time.Second}},
		{pushtest.Reply{Status: 503, Reason: "Shutdown"}, push.VerdictRetry, push.Answer{Status: 503, Reason: "Shutdown"}},
		{pushtest.Reply{Fault: pushtest.Giant}, push.VerdictRetry, push.Answer{Status: 500}},
		{pushtest.Reply{Status: 410, Fault: pushtest.Giant}, push.VerdictRetry, push.Answer{Status: 410}},
		{pushtest.Reply{Status: 200, Fault: pushtest.Giant}, push.VerdictAccepted, push.Answer{Status: 200}},
		{pushtest.Reply{Fault: pushtest.Redirect}, push.VerdictRetry, push.Answer{Status: 307}},
		{pushtest.Reply{Status: 410, Body: `{"StatusCode":200,"ApnsID":"other"}`}, push.VerdictRetry, push.Answer{Status: 410}},
		{pushtest.Reply{Status: 410, Body: `{"reason":"Unregistered","timestamp":"soon"}`}, push.VerdictRetry, push.Answer{Status: 410}},
		{pushtest.Reply{Status: 410, Body: `{"reason":"Unregistered"}{}`}, push.VerdictRetry, push.Answer{Status: 410}},
		{pushtest.Reply{Status: 200, Body: `<html>`}, push.VerdictAccepted, push.Answer{Status: 200}},
	} {
		t.Run(c.want.String()+string(c.reply.Fault)+c.reply.Body+c.reply.RetryAfter, func(t *testing.T) {
			apns.Script(func(pushtest.Push) pushtest.Reply { return c.reply })
			before := apns.Requests()
			answer, err := client.Push(t.Context(), device(1))
			c.want.ID = answer.ID
			require.Equal(t, c.want, answer)
			require.NotEmpty(t, answer.ID)
			require.Equal(t, c.verdict, answer.Verdict())
			refused, ok := errors.AsType[*push.RefusedError](err)
			require.Equal(t, c.verdict == push.VerdictRefused, ok, "%v", err)
			if ok {
				require.Equal(t, answer, refused.Answer)
				require.Contains(t, err.Error(), answer.String())
			} else {
				require.NoError(t, err)
			}
			require.Equal(t, before+1, apns.Requests(), "nothing is repeated or sent elsewhere")
		})
	}
	require.Empty(t, apns.Pushes())
}

func TestPushRefusesTargets(t *testing.T) {
	apns := pushtest.New(t)
	client := newClient(t, apns)
	for name, change := range map[string]func(*push.Target){
		"no token":      func(d *push.Target) { d.Token = nil },
		"endless token": func(d *push.Target) { d.Token = make([]byte, 101) },
		"no magic":      func(d *push.Target) { d.Magic = "" },
		"endless magic": func(d *push.Target) { d.Magic = string(make([]byte, 257)) },
	} {
		t.Run(name, func(t *testing.T) {
			target := device(1)
			change(&target)
			_, err := client.Push(t.Context(), target)
			require.ErrorIs(t, err, push.ErrTarget)
		})
	}
	t.Run("another topic", func(t *testing.T) {
		target := device(1)
		target.Topic = "com.apple.mgmt.External.other"
		_, err := client.Push(t.Context(), target)
		topic, ok := errors.AsType[*push.TopicError](err)
		require.True(t, ok, "%v", err)
		require.Equal(t, &push.TopicError{Certificate: pushtest.DefaultTopic, Enrolled: target.Topic}, topic)
	})
	require.Zero(t, apns.Requests())

	t.Run("a token is hex in the path whatever it is", func(t *testing.T) {
		target := device(1)
		target.Token = []byte("../../admin?x=1#")
		_, err := client.Push(t.Context(), target)
		require.NoError(t, err)
		require.Equal(t, target.Token, apns.Pushes()[0].Token)
	})
}

func TestOneConnectionForABurst(t *testing.T) {
	for name, c := range map[string]struct{ streams, concurrency int }{
		"as at APNs":              {1000, 0},
		"a server that is narrow": {60, 20},
	} {
		t.Run(name, func(t *testing.T) {
			apns := pushtest.New(t, func(cfg *pushtest.Config) { cfg.MaxConcurrentStreams = c.streams })
			client := newClient(t, apns, func(cfg *push.ClientConfig) { cfg.Concurrency = c.concurrency })
			var wg sync.WaitGroup
			for i := range 200 {
				wg.Go(func() {
					_, err := client.Push(t.Context(), device(i))
					if err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			require.Len(t, apns.Pushes(), 200)
			require.Equal(t, 1, apns.Connections())
		})
	}
}

// TestShortDeadlineInABlackHole: a push whose time is short does not wait for
// another one's.
func TestShortDeadlineInABlackHole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		apns, n := inMemory(t)
		apns.BlackHole(true)
		client := newClient(t, apns, over(n))

		patient := make(chan error, 1)
		go func() {
			_, err := client.Push(t.Context(), device(1))
			patient <- err
		}()
		synctest.Wait() // its connection is in the hole
		for range 3 {
			short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			_, err := client.Push(short, device(2))
			cancel()
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Empty(t, patient, "the other one still waits")
		}

		apns.BlackHole(false) // the connection breaks
		require.Error(t, <-patient)
		_, err := client.Push(t.Context(), device(3))
		require.NoError(t, err)
	})
}

// TestFailedConnectIsShared: those who waited for a connection that failed do not
// each try one.
func TestFailedConnectIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		apns, n := inMemory(t)
		hold := make(chan struct{})
		dials := 0
		client := newClient(t, apns, func(c *push.ClientConfig) {
			c.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				if dials++; dials == 1 {
					<-hold
					return nil, errors.New("no route")
				}
				return n.dial(ctx, network, addr)
			}
		})
		failed := make(chan error, 50)
		for i := range cap(failed) {
			go func() {
				_, err := client.Push(t.Context(), device(i))
				failed <- err
			}()
		}
		synctest.Wait()
		close(hold)
		for range cap(failed) {
			require.ErrorContains(t, <-failed, "no route")
		}
		require.Equal(t, 1, dials)

		_, err := client.Push(t.Context(), device(1))
		require.NoError(t, err)
	})
}

func TestDroppedConnectionIsReplaced(t *testing.T) {
	apns := pushtest.New(t)
	client := newClient(t, apns)
	apns.Script(func(p pushtest.Push) pushtest.Reply { return pushtest.Reply{Fault: pushtest.Silent} })
	failed := make(chan error, 1)
	go func() {
		_, err := client.Push(t.Context(), device(1))
		failed <- err
	}()
	require.Eventually(t, func() bool { return apns.Requests() == 1 }, time.Minute, time.Millisecond)
	apns.Drop()
	err := <-failed
	require.ErrorContains(t, err, "no answer")
	requireNoSecret(t, err.Error(), device(1))

	apns.Accept()
	_, err = client.Push(t.Context(), device(1))
	require.NoError(t, err)
	require.Equal(t, 2, apns.Connections())
}

func TestGoAway(t *testing.T) {
	apns := pushtest.New(t)
	client := newClient(t, apns)
	for _, c := range []struct {
		reason  string
		refused bool
	}{
		{"Shutdown", false}, {"IdleTimeout", false}, {"", false}, {"<html>", false},
		{"BadCertificate", true}, {"BadCertificateEnvironment", true}, {"Forbidden", true},
	} {
		t.Run(c.reason, func(t *testing.T) {
			apns.Accept()
			_, err := client.Push(t.Context(), device(1))
			require.NoError(t, err)
			before := apns.Connections()

			apns.Script(func(pushtest.Push) pushtest.Reply {
				return pushtest.Reply{Fault: pushtest.GoAway, Reason: c.reason}
			})
			answer, err := client.Push(t.Context(), device(1))
			require.Error(t, err)
			want := c.reason
			if c.reason == "<html>" {
				want = ""
			}
			require.Equal(t, push.Answer{ID: answer.ID, Reason: want}, answer)
			_, refused := errors.AsType[*push.RefusedError](err)
			require.Equal(t, c.refused, refused, "%v", err)

			apns.Accept()
			_, err = client.Push(t.Context(), device(1))
			require.NoError(t, err)
			require.Equal(t, before+1, apns.Connections())
		})
	}
}

// TestTroubleMakesANewConnection: but not every time, which Apple takes for an
// attack.
func TestTroubleMakesANewConnection(t *testing.T) {
	for _, status := range []int{500, 502, 503} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				apns, n := inMemory(t)
				client := newClient(t, apns, over(n))
				apns.Reject(status, "ServiceUnavailable", time.Time{})
				for range 20 {
					_, err := client.Push(t.Context(), device(1))
					require.NoError(t, err)
				}
				require.Equal(t, 1, apns.Connections())
				time.Sleep(time.Minute) //nolint:forbidigo // of the bubble's clock
				for range 20 {
					_, err := client.Push(t.Context(), device(1))
					require.NoError(t, err)
				}
				require.Equal(t, 2, apns.Connections())
			})
		})
	}
}

func TestRefusalClosesTheConnection(t *testing.T) {
	apns := pushtest.New(t)
	client := newClient(t, apns)
	apns.Reject(403, "BadCertificate", time.Time{})
	for i := range 3 {
		_, err := client.Push(t.Context(), device(1))
		require.Error(t, err)
		require.Equal(t, i+1, apns.Connections())
	}
	require.Eventually(t, func() bool { return apns.OpenConnections() == 0 }, time.Minute, time.Millisecond)
}

func TestPushEndsWithItsContext(t *testing.T) {
	cause := errors.New("the caller has enough")
	t.Run("waiting for an answer", func(t *testing.T) {
		apns := pushtest.New(t)
		apns.Script(func(pushtest.Push) pushtest.Reply { return pushtest.Reply{Fault: pushtest.Silent} })
		ctx, cancel := context.WithCancelCause(t.Context())
		client := newClient(t, apns)
		failed := make(chan error, 1)
		go func() {
			_, err := client.Push(ctx, device(1))
			failed <- err
		}()
		require.Eventually(t, func() bool { return apns.Requests() == 1 }, time.Minute, time.Millisecond)
		cancel(cause)
		require.ErrorIs(t, <-failed, cause)
	})
	t.Run("waiting for others", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			apns, n := inMemory(t)
			apns.Script(func(pushtest.Push) pushtest.Reply { return pushtest.Reply{Fault: pushtest.Silent} })
			client := newClient(t, apns, over(n), func(c *push.ClientConfig) { c.Concurrency = 1 })
			failed := make(chan error, 1)
			go func() {
				_, err := client.Push(t.Context(), device(1))
				failed <- err
			}()
			synctest.Wait()
			ctx, cancel := context.WithCancelCause(t.Context())
			cancel(cause)
			_, err := client.Push(ctx, device(2))
			require.ErrorIs(t, err, cause)
			require.Equal(t, 1, apns.Requests())
			require.ErrorIs(t, <-failed, context.DeadlineExceeded, "after 10 seconds of the bubble's clock")
		})
	})
}

func TestNewClientJudgesItsConfigWhole(t *testing.T) {
	_, err := push.NewClient(push.ClientConfig{Host: "http://api.push.apple.com", Concurrency: -1, Timeout: time.Hour})
	require.ErrorIs(t, err, push.ErrConfig)
	for _, want := range []string{"Certificate", "Host", "Concurrency", "Timeout"} {
		require.ErrorContains(t, err, want)
	}
	apns := pushtest.New(t)
	for host, ok := range map[string]bool{
		"":                                  true,
		push.Production:                     true,
		push.Sandbox:                        true,
		"https://api.push.apple.com:2197":   true,
		"api.push.apple.com":                false,
		"https://":                          false,
		"https://:443":                      false,
		"https://api.push.apple.com/":       false,
		"https://user@api.push.apple.com":   false,
		"https://api.push.apple.com?x":      false,
		"https://api.push.apple.com:https":  false,
		"https://api.push.apple.com/3/x/..": false,
	} {
		_, err := push.NewClient(push.ClientConfig{Certificate: certificate(t, apns), Host: host})
		require.Equal(t, ok, err == nil, "%s: %v", host, err)
	}
}

func requireNoSecret(t *testing.T, text string, devices ...push.Target) {
	t.Helper()
	for _, d := range devices {
		require.False(t, strings.Contains(text, hex.EncodeToString(d.Token)), "the token of %s", d.EnrollmentID)
		require.False(t, strings.Contains(text, d.Magic), "the magic of %s", d.EnrollmentID)
	}
}
