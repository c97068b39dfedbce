// Package layout holds, as tests, what the design says of packages: which way
// imports run, what an importer links, and that no type of another module is
// part of ours. It has no code of its own.
package layout
