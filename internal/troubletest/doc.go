// Package troubletest walks an adapter of package storage through what befalls a
// database: a wrong master key, a full disk, a database that is read-only, a
// connection that is dropped in a transaction, a serialization failure, and a
// schema from the future. The adapter's test makes each trouble on its real
// database; this package has the phones that ask meanwhile, by the handlers of
// packages mdm and enroll, and judges what they are answered: 503 with
// Retry-After, an error that says what is wrong, and nothing lost or half done.
package troubletest

import (
	"testing"
)

// List is what each trouble is for one adapter. None may be left out; one that
// the adapter cannot have is a DoesNotApply.
type List struct {
	WrongMasterKey       func(t *testing.T)
	FullDisk             func(t *testing.T)
	ReadOnlyDatabase     func(t *testing.T)
	DroppedConnection    func(t *testing.T)
	SerializationFailure func(t *testing.T)
	FutureSchema         func(t *testing.T)
}

// Run runs the list as subtests of t.
func (l List) Run(t *testing.T) {
	t.Helper()
	for _, trouble := range []struct {
		name string
		test func(t *testing.T)
	}{
		{"a wrong master key", l.WrongMasterKey},
		{"a full disk", l.FullDisk},
		{"a read-only database", l.ReadOnlyDatabase},
		{"a dropped connection mid-transaction", l.DroppedConnection},
		{"a serialization failure", l.SerializationFailure},
		{"a schema from the future", l.FutureSchema},
	} {
		if trouble.test == nil {
			t.Errorf("the list does not say what %s does", trouble.name)
			continue
		}
		t.Run(trouble.name, trouble.test)
	}
}

// DoesNotApply is a trouble that an adapter cannot have.
func DoesNotApply(why string) func(t *testing.T) {
	return func(t *testing.T) { t.Log("DOES NOT APPLY: " + why) }
}
