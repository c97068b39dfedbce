// Package transfer moves everything that a fleet needs from one store to another:
// by a neutral file of JSON lines, which Export makes of what one adapter holds
// and Import gives to another. Devices go on without noticing.
//
// # Moving
//
// Stop the server, export, import, start the server on the other store. An export
// of a store that devices use meanwhile is not of one moment, and Import may find
// that what a record refers to is missing; export a copy then, such as
// sqlite.Store.Backup makes. No device may reach the new store before Import has
// returned nil, and none may reach the old one after the export: it would give
// commands that the other one gives again.
//
//	_, err := transfer.ExportFile(ctx, "fleet.jsonl", from, transfer.ExportOptions{Keys: keys})
//	…
//	_, err = transfer.Import(ctx, file, into, transfer.ImportOptions{Keys: keys})
//
// Both can be stopped at any moment and be started again: ExportFile goes on
// behind the last record in its file, and Import is given the whole file again and
// leaves alone what is there. Neither holds more than a page of records in memory.
//
// What moves: users; which users' devices are suspended; sessions of the portal,
// and web sessions that handed back; tickets with their challenges and
// identities; enrollments with push token, PushMagic and what pushes were asked
// for; grants with their tokens, as digests; commands in the order of their
// queues, with what was answered NotNow. Sign-in attempts do not: who is at the
// identity provider just then signs in again. Nor does anything that is not in the
// store: certification authorities, keys and the push certificate move as files,
// and the URLs that devices keep must lead to the new server.
//
// Stores that share the work, such as users in a directory, are exported and
// imported one by one, with ExportOptions.Kinds.
//
// # Secrets
//
// An export is as secret as the database: who has a device's push token and
// PushMagic, and the push certificate, can wake it, and payloads of commands may
// hold an organization's secrets. With Keys every record is sealed with
// AES-256-GCM, for its place in this one file; without, it is in clear. Digests
// are exported as they are. Who can change a file that is going to be imported
// decides whose the devices are: a sealed one cannot be changed.
//
// # The format
//
// A file is lines of JSON in UTF-8. The first says what it is, the last that it is
// whole:
//
//	{"format":"enrollkit transfer","version":1,"id":"…","kinds":["user",…]}
//	{"kind":"user","cursor":"1","record":{"id":"…",…}}
//	…
//	{"kind":"end","record":{"records":1,"sha256":"…"}}
//
// Kinds come in the order of Kinds, records of one kind in the order in which they
// came to the store. The cursor is the exporting store's own; files made by others
// need none. Times are microseconds since 1970 in UTC, absent when it has not
// happened; digests are hexadecimal, other bytes base64; what is empty or false is
// absent. The digest at the end is of all lines before. In a sealed file the header
// has "sealed":true, and each line has "sealed", in base64, in place of "cursor" and
// "record".
//
// A reader refuses a version, a kind and a field that it does not know, since to
// leave them out would lose them. A later version of this package reads all
// earlier formats.
package transfer
