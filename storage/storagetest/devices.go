package storagetest

import (
	"slices"

	"github.com/enrollkit/enrollkit/storage/memory"
)

// deviceClauses are the clauses of the part that has to be one database.
func deviceClauses() []clause[Devices] {
	return slices.Concat(
		ticketClauses(), enrollmentClauses(), queueClauses(), pushClauses(), valueClauses(), raceClauses(), reopenClauses(),
		historyClauses(), []clause[Devices]{crashClause("devices", deviceScript(), func() Devices { return memory.New() })},
	)
}
