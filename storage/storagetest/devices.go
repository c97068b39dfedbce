package storagetest

import "slices"

// deviceClauses are the clauses of the part that has to be one database.
func deviceClauses(s Suite) []clause[Devices] {
	return slices.Concat(
		ticketClauses(), enrollmentClauses(), queueClauses(), pushClauses(), valueClauses(), raceClauses(), reopenClauses(),
		historyClauses(), crashClauses(s),
	)
}
