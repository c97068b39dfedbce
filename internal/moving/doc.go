// Package moving moves a fleet, as a test, from each database to each other. It has
// no code of its own: the databases' drivers must not be needed by a package that
// others import.
package moving
