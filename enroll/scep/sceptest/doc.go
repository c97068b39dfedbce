// Package sceptest is a SCEP client that asks as iOS does: GetCACert, GetCACaps,
// then one PKCSReq signed by a certificate that it made itself, with content
// types compared as whole strings. CertificateRequest and Message put requests
// together by hand, for tests that send what no phone would.
package sceptest
