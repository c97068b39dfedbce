package troubletest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/troubletest"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/storage"
	"github.com/enrollkit/enrollkit/storage/memory"
)

// ill is a store in trouble.
type ill struct {
	storage.Store
	trouble error // of Authenticate, CheckOut and Exchange; nil when it is over
	late    bool  // they happen all the same
}

func step[S, R any](i *ill, ctx context.Context, s S, do func(context.Context, S) (R, error)) (r R, err error) {
	if i.trouble == nil {
		return do(ctx, s)
	}
	if i.late {
		_, err = do(ctx, s)
	}
	return r, errors.Join(i.trouble, err)
}

func (i *ill) Authenticate(ctx context.Context, s mdm.AuthenticateStep) (mdm.Enrollment, error) {
	return step(i, ctx, s, i.Store.Authenticate)
}

func (i *ill) CheckOut(ctx context.Context, s mdm.CheckOutStep) (mdm.Enrollment, error) {
	return step(i, ctx, s, i.Store.CheckOut)
}

func (i *ill) Exchange(ctx context.Context, s mdm.ExchangeStep) (mdm.Exchanged, error) {
	return step(i, ctx, s, i.Store.Exchange)
}

// judged is a test that fails without being one.
type judged struct{ testing.TB }

type failure string

func (judged) Fatalf(format string, args ...any) { panic(failure(fmt.Sprintf(format, args...))) }

// says is what a judge fails with.
func says(judge func()) (text string) {
	defer func() {
		if f, ok := recover().(failure); ok {
			text = string(f)
		}
	}()
	judge()
	return ""
}

func TestJudgesBite(t *testing.T) {
	full := errors.New("the disk is full")
	requests := []string{troubletest.Authenticate, troubletest.Idle, troubletest.Again, troubletest.Report, troubletest.CheckOut}
	s := &ill{Store: memory.New()}
	w := troubletest.New(judged{t}, s)
	s.trouble = full
	require.Empty(t, says(func() { w.Refuses("disk is full", requests...) }))
	require.Empty(t, says(func() { w.Is(full, troubletest.Idle) }))
	require.Contains(t, says(func() { w.Is(mdm.ErrEnded, troubletest.Idle) }), "is no")
	require.Contains(t, says(func() { w.Refuses("read-only", troubletest.Idle) }), `does not say "read-only"`)
	require.Contains(t, says(func() { w.Refuses("", troubletest.SignIn) }), "answered 303")
	require.Contains(t, says(func() { w.Heals() }), "answered 503")
	s.trouble = mdm.ErrUnknownIdentity
	require.Contains(t, says(func() { w.Refuses("", troubletest.Report) }), "answered 403")
	s.trouble = nil
	require.Contains(t, says(func() { w.Refuses("", troubletest.Authenticate) }), "answered 200")

	for _, request := range requests {
		s := &ill{Store: memory.New(), late: true}
		w := troubletest.New(judged{t}, s)
		s.trouble = full
		require.Contains(t, says(func() { w.Refuses("disk is full", request) }), "something else than what was acknowledged", request)
	}

	s = &ill{Store: memory.New()}
	w = troubletest.New(judged{t}, s)
	require.Empty(t, says(func() { w.Heals() }))
	w.On(memory.New())
	require.Contains(t, says(func() { w.Heals() }), "something else than what was acknowledged")
}
