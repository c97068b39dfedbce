package storage

import (
	"fmt"

	"github.com/enrollkit/enrollkit/internal/seal"
)

// ErrKey: the keys that a store was opened with are not those that its secrets
// are sealed with, or some of its secrets are not sealed although there are keys.
// Nothing is lost: with the right keys it opens again.
var ErrKey = seal.ErrKey

// SchemaError is a database that a newer version of this module has used. It is
// left as it is. A store that was open before goes on as long as it finds what it
// knows. Steps that do not find it fail and change nothing: devices are answered
// 503 until the program is replaced.
type SchemaError struct {
	// Found is the version of the database's schema, Known the highest one
	// that this program can work with.
	Found, Known int64
}

// Error implements error.
func (e *SchemaError) Error() string {
	return fmt.Sprintf("schema version %d is newer than %d, the newest that this program knows: run the newer program, or restore the backup made before it first ran", e.Found, e.Known)
}
