package storagetest_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/storage/storagetest"
)

// ownVariable tells a child which of the stores below it opens.
const ownVariable = "STORAGETEST_OWN"

// fileSessions keeps sessions in a file. A late one answers before it writes:
// what it acknowledged is on the disk when the next step, or the end, comes.
type fileSessions struct {
	path string
	late bool
	all  []enroll.Session
}

func openFile(late bool) func(place string) (enroll.SessionStore, error) {
	return func(place string) (enroll.SessionStore, error) {
		s := &fileSessions{path: filepath.Join(place, "sessions.json"), late: late}
		b, err := os.ReadFile(s.path)
		if errors.Is(err, fs.ErrNotExist) {
			return s, nil
		}
		return s, errors.Join(err, json.Unmarshal(b, &s.all))
	}
}

func (s *fileSessions) save() error {
	b, err := json.Marshal(s.all)
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.path+".new", b, 0o600); err != nil {
		return err
	}
	return os.Rename(s.path+".new", s.path)
}

func (s *fileSessions) PutSession(_ context.Context, put enroll.Session, old [32]byte) error {
	if s.late {
		if err := s.save(); err != nil {
			return err
		}
	}
	kept := []enroll.Session{}
	for _, other := range s.all {
		if other.ID != put.ID && other.ID != old {
			kept = append(kept, other)
		}
	}
	s.all = append(kept, put)
	if s.late {
		return nil
	}
	return s.save()
}

func (s *fileSessions) Session(_ context.Context, id [32]byte, now time.Time) (enroll.Session, error) {
	for _, found := range s.all {
		if found.ID == id && now.Before(found.Expires) {
			return found, nil
		}
	}
	return enroll.Session{}, enroll.ErrNoSession
}

func (s *fileSessions) Close() error { return s.save() }

func ownSuite(kind string) storagetest.Suite {
	if kind == "" {
		return forgetful()
	}
	return storagetest.Suite{Sessions: openFile(kind == "late")}
}

func TestKilledWhenItHadAnswered(t *testing.T) {
	for kind, wrong := range map[string]bool{"prompt": false, "late": true} {
		t.Run(kind, func(t *testing.T) {
			t.Setenv(ownVariable, kind)
			suite := ownSuite(kind)
			require.Empty(t, suite.Failure(t, "sessions/survives reopening"), "it closes in order")
			why := suite.Failure(t, "sessions/survives being killed")
			if wrong {
				require.Contains(t, why, "killed after step 1, PutSession a")
			} else {
				require.Empty(t, why)
			}
		})
	}
}

func TestPartsThatAreMissingAreListed(t *testing.T) {
	require.Contains(t, ownSuite("prompt").Clauses(), "users/users")
	require.NotContains(t, ownSuite("prompt").Clauses(), "users/unknown user")
}
