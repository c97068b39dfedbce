// Package ca is a certificate authority over any crypto.Signer: it issues the
// identities of devices (it is a scep.Issuer), and what a server needs beside
// them: a registration authority for SCEP, a TLS and a profile-signing
// certificate.
//
//	cert, key, err := ca.LoadOrCreate("data", "identity-ca", func() (*x509.Certificate, crypto.Signer, error) {
//		return ca.NewRoot("Example devices", 10*365*24*time.Hour, time.Now(), rand.Reader)
//	})
//	…
//	authority, err := ca.New(ca.Config{Certificate: cert, Key: key})
//
// # What an identity says
//
// Nothing about the person, the device or the attempt: the common name is a
// random id, the serial number 128 random bits. Key usage is digitalSignature
// and keyEncipherment, extended key usage clientAuth. It is valid from five
// minutes before now, for devices whose clock is behind, for Config.Lifetime,
// and never longer than the authority itself. Nothing is taken from a request
// but the public key.
//
// # Files
//
// LoadOrCreate keeps a certificate in name.pem (0644, it may be handed out) and
// its key in name.key (0600), in a directory that it makes with mode 0700.
// Files are written whole, synced, and put in place in one step, the key before
// its certificate. One process at a time may create.
package ca
