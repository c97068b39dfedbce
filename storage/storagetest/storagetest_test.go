package storagetest_test

import (
	"os"
	"os/exec"
	"regexp"
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
	require.Equal(t, 3+3+4+2+1, n, "clauses that need a store which keeps things")
}

// listVariable has the child of TestVolatileClausesAreListed run its suite.
const listVariable = "STORAGETEST_LIST"

// TestVolatileClausesAreListed reads what a vendor sees of a store that is
// volatile and does not implement all: what it does not promise, each by name.
func TestVolatileClausesAreListed(t *testing.T) {
	if os.Getenv(listVariable) != "" {
		suite := honest()
		suite.Accounts, suite.Steps = nil, 50
		storagetest.Run(t, suite)
		return
	}
	binary, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), binary, "-test.run=^TestVolatileClausesAreListed$", "-test.v") //nolint:gosec // the test itself
	cmd.Env = append(os.Environ(), listVariable+"=1")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	var listed []string
	for _, m := range regexp.MustCompile(`NOT PROMISED: (.*)`).FindAllStringSubmatch(string(out), -1) {
		listed = append(listed, m[1])
	}
	const volatile = ": the store is volatile"
	require.Equal(t, []string{
		"users/survives reopening" + volatile, "users/survives being killed" + volatile,
		"states/survives reopening" + volatile, "states/survives being killed" + volatile,
		"sessions/survives reopening" + volatile, "sessions/survives being killed" + volatile,
		"devices/survives reopening" + volatile, "devices/goes on after reopening" + volatile,
		"devices/pushes survive reopening" + volatile, "devices/survives being killed" + volatile,
		"accounts/accounts: the adapter does not implement it",
		"retention/survives being killed" + volatile,
	}, listed)
	require.Contains(t, string(out), "--- PASS: TestVolatileClausesAreListed/devices/ticket_is_issued")
	require.NotContains(t, string(out), "--- SKIP")
}
