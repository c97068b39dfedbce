// Package scep is the SCEP service (RFC 8894) from which a phone gets its
// identity during the installation of an enrollment profile.
//
//	h, err := scep.New(scep.Config{Issuer: authority, Redeemer: portal, RA: ra.Certificate, RAKey: ra.Key.(*rsa.PrivateKey)})
//	…
//	mux.Handle("/scep", h)
//
// Of the protocol it serves what iOS asks for: GetCACert, GetCACaps, and a
// PKIOperation of the type PKCSReq, by POST or GET. RSA keys, AES and SHA-2
// only. The certificate is the Issuer's and takes the public key from the
// request, and nothing else: subject, names, extensions and dates that a
// request asks for are ignored. Whether it is issued is the Redeemer's to say,
// asked with the challengePassword and the key.
//
// # Answers
//
// What parses as a SCEP message gets HTTP 200 with a CertRep. A refusal is a
// CertRep of status FAILURE, whose failInfo is badMessageCheck for everything
// up to the parsing of the decrypted certificate request, and badRequest from
// there on: no other code, so that an answer does not help to decrypt another's
// request. What does not parse gets 400, 405, 413, 414 or 415, and 503 with
// Retry-After tells that the Redeemer or the Issuer broke. iOS compares the
// content types as whole strings, so they have no parameters.
//
// # Repeats
//
// A phone that lost the answer asks again with the same key and gets the same
// certificate: a Redeemer's duty. The transaction id is echoed and has no
// meaning here.
package scep
