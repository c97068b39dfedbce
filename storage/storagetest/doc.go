// Package storagetest is the conformance suite for storage adapters: it tells a
// vendor whether an adapter keeps the contract of package storage.
//
//	var suite = storagetest.Whole(func(place string) (*vendor.Store, error) {
//		return vendor.Open(filepath.Join(place, "enroll.db"))
//	})
//
//	func TestMain(m *testing.M)         { os.Exit(storagetest.Main(m, suite)) }
//	func TestConformance(t *testing.T) { storagetest.Run(t, suite) }
//
// Each clause of the contract is a subtest by name, and a failure says which
// rule was broken and why there is such a rule. A part that an adapter does not
// implement, and a promise that it does not make, are listed in the output.
//
// # What a store has to be able to do
//
// The suite opens a store at a place, an empty directory of its own; an adapter
// for a server makes a database or schema named after it. Opening the same
// place again, after Close or after the process was killed, must find the same
// data. A store with a Close method is closed at the end.
//
// Three things are declared in [Suite]: whether the store is Volatile, and then
// the clauses on reopening and on crashes are not run; whether several processes
// may open a place at once (Nodes), and then the clauses on races run on two
// stores; and how long the random history is.
//
// # Crashes
//
// The clauses on crashes run the test binary again, as a child that goes through
// one enrollment, and kill it before, during and after every step. That is why
// TestMain is needed. What is killed is a process and not the machine: that a
// commit reaches the disk is for the adapter to see to.
//
// # Random histories
//
// A history of random steps is given to the adapter and to storage/memory; the
// answers and the whole state must be equal. The seed is printed; set
// STORAGETEST_SEED to run one again.
package storagetest
