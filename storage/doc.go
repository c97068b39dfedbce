// Package storage says what a storage adapter promises. The interfaces are
// declared by the packages that use them, each method one step of the story;
// [Store] is all of them. storage/memory, storage/sqlite and every adapter of a
// vendor keep what is on this page, and storage/storagetest checks it clause by
// clause. examples/adapter is an adapter of a vendor, with a guide to writing one.
//
// An adapter may implement a part: users (jit.Store), sign-in attempts
// (sso.StateStore), sessions (enroll.SessionStore), or devices. Devices are
// tickets, identities, enrollments, queues, pushes and, for account-driven
// enrollment, grants (enroll.TicketStore, mdm.Store, push.Store,
// enroll.AccountStore): one database, because one step changes several of them.
// Users of that database need not be known to it: a user is an ID.
//
// # Every step
//
// Atomic: a step happens entirely or not at all, also when the process is killed
// in it, and no other step sees it half done. After an error nothing has
// changed, but where a method says otherwise.
//
// Durable: when a method returns nil, what it did is on the disk, and visible to
// every node. Devices and people are answered after that. A store that ends with
// its process, as storage/memory does, is volatile: it keeps all of this page but
// for durability and what a killed process leaves. Its suite says so, and
// storagetest lists the clauses that are not promised by name.
//
// Repeatable: a caller whose answer was lost does the step again. What was done
// then is not done twice, and the answer is the same as far as it can be.
//
// Concurrent: methods may be called at the same time, on any number of nodes.
// Where two calls compete, exactly one wins, and the other gets the error, or the
// result of the first, that its method names.
//
// Cancelled: a context that is over before the step begins is an error; one that
// ends later may come too late. It never stops the step of another caller.
//
// Values belong to the caller: what was passed may be changed afterwards, and
// what was returned too. Times are UTC, to the microsecond. Text and bytes come
// back as they were, and names are compared byte by byte. Empty and nil are the
// same. Text is UTF-8 without NUL: a store may refuse any other with any error,
// and then nothing of the step has happened.
//
// The clock comes with the step. A period that is good until a time is over at
// that time. The time of a step is never the zero time: the caller sees to that,
// and nothing is promised for it.
//
// # Sizes
//
// A store takes at least these; nothing is promised for what is larger. What a
// person or a device sends is within them. What an integrator writes, such as a
// payload or a redirect URI, is for the integrator to keep there.
//
//	user ID, ticket ID               36 bytes each
//	issuer, subject                  512 and 255 bytes
//	name, Managed Apple Account      256 characters each
//	groups                           1000 of 256 characters
//	EnrollmentID or UDID             64 bytes
//	topic, versions, product, Ref    64 bytes each
//	client ID, redirect URI          128 bytes each
//	certificate                      4 KiB
//	push token, PushMagic            100 and 256 bytes
//	CommandUUID, RequestType         128 and 64 bytes
//	payload of a command, result     1 MiB each
//
// How many commands one Enqueue has is not limited: a fan-out goes to a fleet.
//
// # Errors
//
// Conditions that callers act on are errors of the package that declares the
// interface, for errors.Is. Any other error means that the store does not work
// now: a device is answered 503 and tries again.
//
// # Users
//
// (issuer, subject) names one person, and so does an ID. The first Provision
// creates, of concurrent ones exactly one; later ones refresh. A suspended user
// stays as it is. Suspend of a user and SuspendUser of their devices are two
// steps, because they may go to two databases.
//
// # Sign-in attempts and sessions
//
// An attempt is finished once, by exactly one of concurrent calls, until it
// expires. A session that is put replaces the one of its ID, and ends the one
// before the sign-in in the same step. An attempt that is opened again, open or
// finished, is as it was.
//
// # Tickets, challenges, identities
//
// Issuing a ticket ends every open ticket of the same session: its challenges
// are void then, its certificates of no use, unless a device has authenticated by
// one; that device may finish, and its ticket is enrolled then. Superseding goes
// before spent, spent before expired, expired before exhausted.
//
// Each download opens a challenge; the same challenge again is the same
// download. The first key that redeems it owns it, and gets the same certificate
// again, also when the time of the challenge is over; for any other key it is as
// good as unknown. Redeeming a later download's challenge voids the earlier
// challenges and identities of the ticket; then it is identified again, and a
// half made enrollment cannot go on. A ticket that is spent redeems nothing.
// An identity has the ticket's user and way, and until its first Authenticate
// the time that was left to its challenge.
//
// Ended of a ticket is when it was superseded, or when the enrollment that spent
// it ended or moved to another ticket.
//
// The ticket, the code and the tokens of a Grant, RedeemCode or Refresh are new:
// one that is there already is an error, and nothing changes.
//
// # Enrollments
//
// A certificate is bound to one EnrollmentID, and an EnrollmentID to one
// certificate, by the first Authenticate. Who sends a step is looked at before
// anything else, in the order that mdm.Store names. An EnrollmentID moves to
// another certificate of the same user, for a newer ticket or the same one, not
// spent; then it starts over as authenticated: its token is forgotten and its
// queue stays. Which of two tickets is newer is the order in which they were
// issued, whatever the clocks said.
//
// The first TokenUpdate enrolls, spends the ticket, queues the plan, each command
// with its own Queued, and asks for a push in one step.
//
// An enrollment ends once, by CheckOut or Unenroll: open commands are cancelled,
// the token and what pushes were asked for are forgotten. One that was replaced by
// a newer attempt stays replaced, with the time of that as Ended; Unenroll leaves
// it alone.
//
// # Queues
//
// A CommandUUID is unique within its enrollment. Commands are sent in the order
// in which they were queued, the first that waits again and again until it is
// answered; final ones change no more. One answered NotNow keeps its place but is
// left out until the next Idle. A report without a CommandUUID concerns the
// command that was sent last, while it is not answered.
//
// An exchange costs the same however long queue and history are, and an Idle
// with nothing to do writes nothing but, on the first contact of a day (UTC),
// Contact. A TokenUpdate is a contact too.
//
// # Pushes
//
// The requests of a device are numbered upwards. An Enqueue that adds commands to
// an enrollment makes at least one, due at the earliest Queued of them; how many
// is up to the store. A CommandUUID that exists asks for nothing. The first
// TokenUpdate makes one, due at its time, and so does an exchange that leaves a
// command answered NotNow, due after NotNowRetry. The earliest time counts. A
// claim puts the device off until the end of its lease, a result with Retry until
// then; a request made meanwhile does not make it due earlier. When a claim is
// settled, a request made since is due at once. A result that comes twice, or for
// an attempt that another one has followed, counts once.
//
// A token that died is forgotten, unless another one, or the same one, was stored
// since: with another one the request is due at once, with the same one the
// result counts as if the token were alive. What waits for a token is due when
// one comes.
//
// # Retention
//
// Nothing goes by itself that somebody might ask for. A store that is a [Pruner]
// forgets, when it is told to, what was over before two times. Attempts, sessions
// and web sessions go by the first, soon after they have expired: nobody can tell
// then whether they are there, and a stranger can leave any number. Final commands,
// grants of which nothing is in force and tickets that led nowhere go by the
// second, when nobody asks for them any more. What remains works on as if nothing
// had happened. A server runs a [Retention] that tells it.
//
// # State
//
// State lists what there is in the order in which it came, pushes by the time of
// the attempt: the last one of each device by that time, whichever result came
// last. It shows no token, no magic, no digest of a secret but those that
// name things, and no payload of a command, which may hold an organization's
// secrets.
//
// # Secrets
//
// What the server has to read again is sealed, by an adapter that is given keys:
// push tokens, PushMagics and the payloads of commands, in which a policy may put
// a vendor's secrets. The adapters in SQL of this module seal with AES-256-GCM,
// bound to the row and column; one that does not seal keeps them as secret as its
// database. What is only compared comes as a SHA-256 and never otherwise: access
// and refresh tokens, codes, challenges, sign-in attempts, sessions, and the
// public keys that redeem challenges. Neither sealed nor a digest is what is known
// of people and devices: names, groups and accounts, tickets, certificates, what
// devices answered.
//
// No private key ever comes to a store. Of an identity it keeps the certificate
// and its digest; the device made the key and has it. The keys of the CA, of what
// signs profiles and of APNs are the integrator's, apart from any store; only a
// payload may hold one that a policy was given.
package storage
