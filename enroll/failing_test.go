package enroll_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/storage/memory"
)

func TestPanicIsAnAnswer(t *testing.T) {
	w := newWorld(t, func(c *enroll.Config) { c.Users = panicking{} })
	b := w.browser(iPhone17)
	back := b.begin("alice@example.com")
	require.Equal(t, http.StatusSeeOther, b.get(back).StatusCode)
	w.unchanged(func() {
		a := b.get("/ready")
		refused(t, a, http.StatusInternalServerError, enroll.CodeInternal)
		require.Regexp(t, `Incident: <code>[0-9A-Z]{8}</code>`, a.body)
		require.NotContains(t, a.body, "goroutine")
	})
	require.Equal(t, http.StatusOK, b.get("/help").StatusCode)
}

func TestStoresThatFail(t *testing.T) {
	for _, step := range []string{"Session", "User", "Ticket", "Download"} {
		t.Run(step, func(t *testing.T) {
			broken := &broken{}
			w := newWorld(t, func(c *enroll.Config) {
				broken.Store = c.Tickets.(*memory.Store)
				c.Tickets, c.Sessions, c.States, c.Users = broken, broken, broken, broken
			})
			b := w.browser(iPhone17)
			b.signIn("alice@example.com")
			broken.step = step
			w.unchanged(func() {
				a := b.get("/profile")
				refused(t, a, http.StatusServiceUnavailable, enroll.CodeStorage)
				require.NotEmpty(t, a.Header.Get("Retry-After"))
				require.NotContains(t, a.body, "secret detail")
			})
			broken.step = ""
			b.download()
		})
	}
	for _, step := range []string{"OpenState", "ConsumeState", "PutSession", "IssueTicket"} {
		t.Run(step, func(t *testing.T) {
			broken := &broken{}
			w := newWorld(t, func(c *enroll.Config) {
				broken.Store = c.Tickets.(*memory.Store)
				c.Tickets, c.Sessions, c.States, c.Users = broken, broken, broken, broken
			})
			b := w.browser(iPhone17)
			if step == "OpenState" {
				broken.step = step
				refused(t, b.get("/login"), http.StatusServiceUnavailable, enroll.CodeStorage)
			} else {
				back := b.begin("alice@example.com")
				broken.step = step
				refused(t, b.get(back), http.StatusServiceUnavailable, enroll.CodeStorage)
			}
			require.Empty(t, w.state().Tickets)
			broken.step = ""
			b.signIn("alice@example.com")
			b.download()
		})
	}
}
