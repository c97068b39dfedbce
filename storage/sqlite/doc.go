// Package sqlite keeps everything in one SQLite file, for a server that is one
// process. The driver is pure Go.
//
// A step is on the disk when its method returns: the database is in WAL mode
// with synchronous=FULL. Steps that arrive while another one is being written
// are committed together, so that one sync of the disk serves many. Reading
// waits for nobody.
//
// What a device sends most, Exchange and TokenUpdate, is one statement of the
// writer each. An Idle reads first, which waits for nobody: most find nothing,
// and only one that finds a command goes on to write. A few statements more are
// taken by the first contact of a day, the first step with a new bearer token, and
// commands that were answered NotNow. Enqueue is one statement for its commands,
// or for every 64 MiB of them, and one for all their pushes.
//
// The schema is brought up to date when the store is opened, also by several
// processes at once. A database that a newer version of this package has
// brought further is refused with a *storage.SchemaError.
//
// On Linux, modernc.org/sqlite's Fdatasync(true) makes a commit cost about half
// with no change in durability; it is a setting of the whole process, and so the
// program's to make.
//
// No statement needs the statistics of ANALYZE; with them SQLite plans each
// statement anew whenever it is used, which makes reading several times slower.
//
// By Options.Keys, push tokens, push magics and the payloads of commands are
// sealed: AES-256-GCM, bound to their row. Bearer tokens, challenges and sessions
// are digests anyway. What devices answered is not sealed.
//
// Store.Backup copies the database while steps go on, and Restore puts a backup in
// the place of one that was lost. Copy the file yourself only when no process has
// it open: beside it, SQLite keeps what is committed already in files ending in
// -wal and -shm.
package sqlite
