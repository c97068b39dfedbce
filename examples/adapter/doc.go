// Package adapter is a storage adapter as a vendor would write it, on a store that
// is no database: a journal of steps (package journal), each on the disk before
// it is answered. README.md beside it says how to write your own.
//
// The machine that takes the steps is storage/memory. Its methods do the same
// whenever they are given the same arguments in the same order, since the clock
// comes with the step: a journal of what they were given is all that has to be
// kept, and replaying it makes the same store again. Steps are applied and noted
// in one order, and synced in groups; every answer, also that of a method which
// only reads, waits until what it was made of is on the disk. When the journal
// cannot be written the machine is ahead of it: then everything is refused until
// the store is opened again.
//
// It is an example. A journal grows for ever, since nothing makes a snapshot; it
// holds tokens and payloads in clear, since nothing seals them; and a version of
// storage/memory that decides differently cannot replay it.
package adapter
