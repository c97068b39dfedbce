// Package enroll is the portal at which a person starts an enrollment, and the
// ticket that tells its story from the sign-in to the enrolled device.
//
//	portal, err := enroll.New(enroll.Config{ … })
//	…
//	mux.Handle("/enroll", portal)
//	mux.Handle("/enroll/", portal)
//	server.RegisterOnShutdown(portal.Close)
//
// A [Portal] signs people in through an sso.Authenticator, has their record made
// just in time, hands out a signed profile for the ticket of their session, and
// redeems the profile's challenge when the device asks for its identity: it is
// the Redeemer of enroll/scep. It keeps nothing in memory that another node would
// need, and starts no goroutine.
//
// # Pages
//
//	GET  /enroll           what will happen, and what the company can never see
//	GET  /enroll/login     to the identity provider; login_hint is passed on
//	GET  /enroll/callback  from there, to /enroll/ready
//	GET  /enroll/ready     what to do next, with a countdown
//	GET  /enroll/profile   the signed profile
//	GET  /enroll/events    the ticket's story as it happens, server-sent events
//	GET  /enroll/status    the same once, JSON
//	GET  /enroll/help      causes and remedies
//	POST /enroll/device    the button "This is an iPhone or iPad"
//	POST /enroll/logout    ends the session in all tabs
//
// All work without JavaScript. The user agent chooses the page and never the
// right: iOS 13.1 to 17 in Safari gets the way by profile, iOS 18 and later the
// way through Settings, another browser, an older iOS and a desktop what to do
// instead. iPads call themselves Macs: the button goes on with any agent.
//
// # Tickets
//
// A ticket is issued when a person has signed in, and is bound to that
// browser's session. Nothing of it is in an address. Its states are issued,
// downloaded, identified (SCEP issued the device's certificate), authenticated
// (Authenticate was accepted) and enrolled (the first TokenUpdate spent it), or
// superseded by a later sign-in in the same browser; another browser of the same
// person has a ticket of its own. An expired ticket is one whose times say so.
//
// Each download carries a challenge of its own, which belongs to the first key
// that presents it. Redeeming a later download's challenge voids what an earlier
// one got. A HEAD, a link preview and a prefetch are no downloads. A ticket is
// good for Config.MaxDownloads and Config.MaxAge, and never for a person who is
// suspended.
//
// # Clocks
//
// A ticket waits Clocks.Wait (15 minutes) to be downloaded. From a download the
// person has Clocks.Window (8 minutes, when iOS deletes a waiting profile) to
// begin the installation; a later download starts it anew. The server accepts
// the device for Clocks.Grace (12 minutes) beyond that, because somebody who
// tapped at the last moment is typing a password then. No clock runs between
// Authenticate and TokenUpdate. A sign-in at the provider may take 10 minutes.
//
// # What is answered
//
// A failure is answered by one function, from one table: see [Remedy]. A refused
// callback is a page with its 4xx or 503, never a redirect. /enroll/profile
// answers 200 with a profile or not at all: without a session it leads to
// /enroll, a browser for which another page applies to /enroll/ready, and a
// ticket that is over gets 410. A refused request changes nothing.
//
// # What is never stored
//
// Session cookies, challenges and sign-in secrets: stores get their SHA-256, and
// the secrets of a sign-in on its way are in the browser, sealed. Tokens of the
// identity provider are not kept at all. A ticket says nothing about the device
// but its EnrollmentID.
//
// # Stores
//
// [TicketStore] is in one database with the mdm.Store. [SessionStore], the
// sso.StateStore and [Users] may be elsewhere.
package enroll
