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
//	POST /enroll/way       the choice of a way
//	POST /enroll/logout    ends the session in all tabs
//
// All work without JavaScript.
//
// # The right way in
//
// The user agent chooses the page and never the right:
//
//	below 13.1     none: it cannot keep work and private data apart
//	13.1 to 17     a downloaded profile of User Enrollment, in Safari
//	18 and later   account-driven User Enrollment, which begins in Settings: the
//	               page shows the path there and the Managed Apple Account to copy
//	others         what to do instead
//
// From Safari 26 on the system's version is frozen in the user agent, so that the
// browser's own counts. iPads, and whoever asks for desktop websites, call
// themselves Macs: a touch screen gives them away, and the button goes on with any
// agent. Config.Way makes one way the only one, for all who come here.
//
// Device Enrollment, by which a company manages a whole device, is never reached
// silently: nothing falls back to it. Config.DeviceEnrollment offers it to
// everybody or to the people of some groups. By a download it is chosen on
// /enroll/ready, in a form below what the company sees and does then, which
// follows from the access rights; the choice is a new ticket. Account-driven it
// is what service discovery names for a family of devices (mdm-adde). The ticket
// records way and ownership; nothing about either is in an address or a profile.
//
// # Account-driven enrollment
//
// With Config.Account a person starts in Settings > General > VPN & Device
// Management > Sign In to Work or School Account. The device finds the server by
// service discovery, sends its signed machine information, opens a web session in
// which the person signs in here, and fetches a profile with the token that it
// is handed back:
//
//	POST /enroll/account/byod        the enrollment POST of User Enrollment
//	POST /enroll/account/adde        that of Device Enrollment
//	GET  /enroll/account/login/…     the web session of MethodWeb (apple-as-web)
//	GET  /enroll/account/authorize/… that of MethodOAuth2 (apple-oauth2)
//	POST /enroll/account/token       the token endpoint of MethodOAuth2
//
// The POST is answered 401 with a challenge, 200 with the profile, or, when it is
// no device's that is served, 400 or 403 with nothing that it could go on from. A
// web session travels sealed in the path of its address, hands back once, and is
// good for five minutes. Who signs in to the identity provider as somebody else
// than was typed is told so by a page. The token then comes with each request of
// the enrolled device; package mdm asks the store about it, and this portal, as
// its Challenger, how the person signs in again when it is not in force. That
// session belongs to the enrollment: the same person gets a new token for it, and
// no new ticket.
//
// A suspended person is locked out at the next request of the device: suspend in
// the jit.Store and in the mdm.Store. Their tokens are revoked for good; when the
// suspension is lifted the device lets its owner sign in again, and the same
// enrollment works on.
//
// MethodOAuth2 makes the portal an authorization server in front of whatever
// signs people in, for the one client that there is: the device, which is public
// and knows no PKCE. A code is bound to client, redirect URI and web session,
// lives a minute, and is redeemed once; refresh tokens are rotated, one that comes
// again after its successor was used revokes its family, and one whose answer was
// lost may come again. AccountConfig.External sends devices to the company's own
// authorization server instead. An iOS before 16 knows MethodWeb only.
//
// Enrollment single sign-on (package esso) is announced by AccountConfig.ESSO. An
// app of that kind which people have installed already stops their enrollment: the
// page says that it has to be deleted first.
//
// # What to mount where
//
// Everything but discovery is on this server's own host, behind a certificate
// that devices trust without a profile:
//
//	mux.Handle("/enroll", portal)
//	mux.Handle("/enroll/", portal)
//	mux.Handle("/scep", identity)                  // scep.Config.Redeemer: portal
//	mux.Handle("/mdm/", devices.Handler("/mdm"))   // mdm.Config.Challenger: portal
//	mux.Handle(discovery.Path, where)
//
// Devices ask the mail domain of the Managed Apple Account for discovery.Path,
// most often a web site that others run. There mount the same discovery.Handler,
// serve its StaticFile, or redirect to here with the query kept. From iOS 18.2 on
// a device that gets no usable answer there asks Apple, which sends it to the
// address that the organization set in Apple Business or School Manager. Package
// discovery has all of it. Its addresses are those of [Portal.AccountURL].
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
// Session cookies, challenges, sign-in secrets, codes and tokens: stores get their
// SHA-256, and the secrets of a sign-in on its way are in the browser, sealed.
// Tokens of the identity provider are not kept at all. A ticket says nothing about
// the device but its EnrollmentID, under Device Enrollment its UDID; of the machine
// information nothing is kept. The log has no secret, and no path with one.
//
// # Stores
//
// [TicketStore] and [AccountStore] are in one database with the mdm.Store.
// [SessionStore], the sso.StateStore and [Users] may be elsewhere.
//
// See https://developer.apple.com/documentation/devicemanagement/onboarding-users-with-account-driven-enrollment,
// RFC 6749, RFC 6750, RFC 7636 and RFC 9700.
package enroll
