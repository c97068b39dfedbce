package storagetest_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/storage/memory"
	"github.com/enrollkit/enrollkit/storage/storagetest"
)

// forgetful keeps nothing when its process ends, and does not say so.
func forgetful() storagetest.Suite {
	return storagetest.Whole(func(string) (*memory.Store, error) { return memory.New(), nil })
}

// honest is the same, and says so.
func honest() storagetest.Suite {
	s := forgetful()
	s.Volatile = true
	return s
}

func TestMain(m *testing.M) { os.Exit(storagetest.Main(m, ownSuite(os.Getenv(ownVariable)))) }

// TestSuiteBites runs each clause on a store that breaks just what it promises.
func TestSuiteBites(t *testing.T) {
	broken := map[string]map[string]func() hooks{
		"users": brokenUsers, "states": brokenStates, "sessions": brokenSessions, "devices": brokenDevices,
		"accounts": brokenAccounts, "retention": brokenRetention,
	}
	known := map[string]bool{}
	for _, clause := range forgetful().Clauses() {
		known[clause] = true
		part, name, _ := strings.Cut(clause, "/")
		wrong := broken[part][name]
		if strings.Contains(name, "reopening") || strings.Contains(name, "killed") {
			continue // TestSuiteCatchesTheForgetful
		}
		t.Run(clause, func(t *testing.T) {
			require.NotNil(t, wrong, "no store is known that breaks this clause")
			suite := storagetest.Whole(func(string) (hooked, error) { return hooked{memory.New(), wrong()}, nil })
			suite.Steps = 1500
			require.Contains(t, suite.Failure(t, clause), "RULE: ", "the clause does not catch the store")
			require.Empty(t, honest().Failure(t, clause), "the clause refuses a store that keeps it")
		})
	}
	for part, clauses := range broken {
		for name := range clauses {
			require.True(t, known[part+"/"+name], "there is no clause %s/%s", part, name)
		}
	}
}

func TestSuiteCatchesTheForgetful(t *testing.T) {
	n := 0
	for _, clause := range forgetful().Clauses() {
		if strings.Contains(clause, "reopening") || strings.Contains(clause, "killed") {
			n++
			t.Run(clause, func(t *testing.T) {
				require.Contains(t, forgetful().Failure(t, clause), "RULE: ")
			})
		}
	}
	require.Equal(t, 3+3+4+2, n, "clauses that need a store which keeps things")
}
