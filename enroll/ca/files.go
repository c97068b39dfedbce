package ca

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// LoadOrCreate returns the certificate and key that are kept in dir under name,
// and when there are none, keeps what create returns: a root from NewRoot, or a
// certificate issued to a new key. What was interrupted is begun anew. A
// certificate without its key, or with another's, is ErrUnusable, and nothing
// is overwritten. Whether what it returns is still valid is not looked at.
func LoadOrCreate(dir, name string, create func() (*x509.Certificate, crypto.Signer, error)) (*x509.Certificate, crypto.Signer, error) {
	if name == "" || name != filepath.Base(name) || name[0] == '.' {
		return nil, nil, fmt.Errorf("ca: %q is no name for a file", name)
	}
	certPath, keyPath := filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
	cert, key, err := load(certPath, keyPath)
	if !errors.Is(err, fs.ErrNotExist) {
		return cert, key, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("ca: %w", err)
	}
	if cert, key, err = create(); err != nil {
		return nil, nil, err
	}
	if !sameKey(key.Public(), cert.PublicKey) {
		return nil, nil, fmt.Errorf("%w: %s: the key is not the certificate's", ErrUnusable, name)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("ca: %w", err)
	}
	if err := write(keyPath, &pem.Block{Type: "PRIVATE KEY", Bytes: der}, 0o600); err != nil {
		return nil, nil, err
	}
	if err := write(certPath, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}, 0o644); err != nil {
		return nil, nil, err
	}
	return cert, key, nil
}

// load reads both files; fs.ErrNotExist means that there is no certificate.
func load(certPath, keyPath string) (*x509.Certificate, crypto.Signer, error) {
	der, err := read(certPath, "CERTIFICATE")
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %s: %w", ErrUnusable, certPath, err)
	}
	der, err = read(keyPath, "PRIVATE KEY")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("%w: there is %s and no key", ErrUnusable, certPath)
	}
	if err != nil {
		return nil, nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %s: %w", ErrUnusable, keyPath, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok || !sameKey(signer.Public(), cert.PublicKey) {
		return nil, nil, fmt.Errorf("%w: the key in %s is not the certificate's", ErrUnusable, keyPath)
	}
	return cert, signer, nil
}

func read(path, kind string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != kind {
		return nil, fmt.Errorf("%w: %s has no PEM block %q", ErrUnusable, path, kind)
	}
	return block.Bytes, nil
}

// write puts a file in place, whole and durable.
func write(path string, block *pem.Block, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // of mode 0600
	if err != nil {
		return fmt.Errorf("ca: %w", err)
	}
	err = errors.Join(pem.Encode(f, block), f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("ca: writing %s: %w", path, errors.Join(err, os.Remove(f.Name())))
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("ca: %w", err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return fmt.Errorf("ca: syncing %s: %w", dir.Name(), err)
	}
	return nil
}
