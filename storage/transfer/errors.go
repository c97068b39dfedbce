package transfer

import (
	"errors"
	"fmt"
)

var (
	// ErrFormat: it is no file of this package.
	ErrFormat = errors.New("transfer: not an export")
	// ErrTooLong: a line is longer than the reader allows.
	ErrTooLong = errors.New("transfer: line is too long")
	// ErrTooDeep: a line is nested deeper than any record is.
	ErrTooDeep = errors.New("transfer: line is nested too deep")
	// ErrRecord: a line is no record, or one that no store can hold.
	ErrRecord = errors.New("transfer: record is malformed")
	// ErrIncomplete: the file ends before its end. What was read is as it was
	// written: have the export finished, and import again.
	ErrIncomplete = errors.New("transfer: file is not whole")
	// ErrDamaged: the file is not what was written.
	ErrDamaged = errors.New("transfer: file was changed")
	// ErrKey: the file is sealed and no key that was given opens it, or keys were
	// given and it is not sealed.
	ErrKey = errors.New("transfer: not the key of this file")
	// ErrConflict is returned by a Sink: something that the store has already
	// under another name has what is unique in a record, such as the issuer and
	// subject of a user.
	ErrConflict = errors.New("transfer: record contradicts what the store has")
	// ErrMissing is returned by a Sink: the store does not have what a record
	// refers to.
	ErrMissing = errors.New("transfer: record refers to what is not there")
)

// VersionError is a file of a version that this package does not know.
type VersionError struct {
	// Found is the version of the file, Known the highest that can be read.
	Found, Known int
}

// Error implements error.
func (e *VersionError) Error() string {
	return fmt.Sprintf("transfer: file has version %d and %d is the highest that this program knows: use a newer one", e.Found, e.Known)
}

// KindError is a kind of records that this package, a file's header, or a store
// does not know.
type KindError struct{ Kind Kind }

// Error implements error.
func (e *KindError) Error() string {
	return fmt.Sprintf("transfer: records of the kind %.40q are not known here", string(e.Kind))
}

// LineError says in which line of a file something is wrong.
type LineError struct {
	// Line is counted from 1, the header.
	Line int64
	Err  error
}

// Error implements error.
func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

// Unwrap returns what is wrong.
func (e *LineError) Unwrap() error { return e.Err }
