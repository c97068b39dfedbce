// Package seal keeps secrets at rest unreadable: what a database stores of them
// is sealed with AES-256-GCM under a key that the database does not have.
//
// A sealed value is 1, eight bytes that name the key, the nonce, the ciphertext
// and its tag. Each row and column is sealed with a key of its own, derived from
// the master key by HKDF with the names of both, which are also the associated
// data: a value that is moved does not open, and the bound on values under one
// key and random nonces (2^32) is one on how often a single value changes.
//
// Without a master key a value is stored as 0 and the secret itself.
package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"runtime"
	"sync"
)

// KeySize is the length of a master key in bytes.
const KeySize = 32

// The first byte of a value.
const (
	formPlain  = 0
	formSealed = 1
)

const (
	idSize  = 8
	headed  = 1 + idSize
	tagSize = 16
)

var (
	// ErrKey: a value was sealed with a key that is not among those given, or
	// not sealed although there are keys.
	ErrKey = errors.New("seal: not the key of this database")
	// ErrValue: a value is not what was sealed for its row and column.
	ErrValue = errors.New("seal: value was changed or moved")
)

// Ring is the master keys of a database: the first seals, all open. A Ring
// without keys stores secrets as they are. It is safe for concurrent use.
type Ring struct {
	keys []master
	// plain values are accepted beside sealed ones.
	plain bool
}

type master struct {
	id   [idSize]byte
	macs *sync.Pool // of HMACs under what keys are derived from
}

// New returns the ring of keys of KeySize bytes each.
func New(keys [][]byte) (*Ring, error) {
	r := &Ring{plain: len(keys) == 0}
	for i, k := range keys {
		if len(k) != KeySize {
			return nil, fmt.Errorf("seal: key %d of %d has %d bytes, not %d", i+1, len(keys), len(k), KeySize)
		}
		m, err := newMaster(k)
		if err != nil {
			return nil, err
		}
		if r.find(m.id[:]) != nil {
			return nil, fmt.Errorf("seal: key %d of %d comes twice", i+1, len(keys))
		}
		r.keys = append(r.keys, m)
	}
	return r, nil
}

func newMaster(key []byte) (master, error) {
	derived, err := hkdf.Extract(sha256.New, key, []byte("enrollkit secrets at rest"))
	if err != nil {
		return master{}, fmt.Errorf("seal: %w", err)
	}
	m := master{macs: &sync.Pool{New: func() any { return hmac.New(sha256.New, derived) }}}
	copy(m.id[:], m.expand("id", nil))
	return m, nil
}

// expand is HKDF-Expand (RFC 5869 §2.3) with what a label and a name say, to the
// length of one hash. The HMAC of a key is made once and used again: a fan-out
// expands for each of its commands.
func (m *master) expand(label string, name []byte) []byte {
	mac := m.macs.Get().(hash.Hash) //nolint:forcetypeassert // nothing else is put there
	defer m.macs.Put(mac)
	mac.Reset()
	mac.Write([]byte(label))
	mac.Write(name)
	mac.Write([]byte{1})
	return mac.Sum(make([]byte, 0, sha256.Size))
}

func (r *Ring) find(id []byte) *master {
	for i := range r.keys {
		if bytes.Equal(r.keys[i].id[:], id) {
			return &r.keys[i]
		}
	}
	return nil
}

// Sealed reports whether the ring has keys.
func (r *Ring) Sealed() bool { return len(r.keys) > 0 }

// Heads are what the values begin with that the ring opens, if they are as they
// were sealed. The ring has been admitted to its database.
func (r *Ring) Heads() [][]byte {
	heads := [][]byte{}
	if r.plain {
		heads = append(heads, []byte{formPlain})
	}
	for _, k := range r.keys {
		heads = append(heads, append([]byte{formSealed}, k.id[:]...))
	}
	return heads
}

// Seal returns what to store of a secret in a column, such as
// "enrollments.token", of the row with these names.
func (r *Ring) Seal(secret []byte, column string, row ...string) ([]byte, error) {
	if len(r.keys) == 0 {
		return append([]byte{formPlain}, secret...), nil
	}
	name := nameOf(column, row)
	aead, err := r.keys[0].aead(name)
	if err != nil {
		return nil, err
	}
	value := make([]byte, headed, headed+aead.Overhead()+len(secret))
	value[0] = formSealed
	copy(value[1:], r.keys[0].id[:])
	return aead.Seal(value, nil, secret, name), nil
}

// SealAll is Seal for n secrets of a column, on all processors: a fan-out seals one
// for each of its commands.
func (r *Ring) SealAll(n int, column string, of func(i int) (secret []byte, row []string)) ([][]byte, error) {
	values := make([][]byte, n)
	some := func(from, to int) error {
		for i := from; i < to; i++ {
			secret, row := of(i)
			var err error
			if values[i], err = r.Seal(secret, column, row...); err != nil {
				return err
			}
		}
		return nil
	}
	const enough = 256 // for a goroutine to be worth it
	parts := min(runtime.GOMAXPROCS(0), n/enough)
	if parts < 2 {
		return values, some(0, n)
	}
	errs := make([]error, parts)
	var wait sync.WaitGroup
	for part := range parts {
		wait.Go(func() { errs[part] = some(part*n/parts, (part+1)*n/parts) })
	}
	wait.Wait()
	return values, errors.Join(errs...)
}

// Open returns the secret of a value that Seal made for the same column and
// row. Errors wrap ErrKey or ErrValue and name the place.
func (r *Ring) Open(value []byte, column string, row ...string) ([]byte, error) {
	secret, err := r.open(value, column, row)
	if err != nil {
		return nil, fmt.Errorf("%s of %q: %w", column, row, err)
	}
	return secret, nil
}

func (r *Ring) open(value []byte, column string, row []string) ([]byte, error) {
	switch {
	case len(value) == 0:
		return nil, fmt.Errorf("%w: it is empty", ErrValue)
	case value[0] == formPlain && r.plain:
		return bytes.Clone(value[1:]), nil
	case value[0] == formPlain:
		return nil, fmt.Errorf("%w: the value is not sealed", ErrKey)
	case value[0] != formSealed:
		return nil, fmt.Errorf("%w: form %d is unknown", ErrValue, value[0])
	case len(value) < headed+tagSize:
		return nil, fmt.Errorf("%w: %d bytes are too few", ErrValue, len(value))
	}
	m := r.find(value[1:headed])
	if m == nil {
		return nil, fmt.Errorf("%w: the value is sealed with key %x", ErrKey, value[1:headed])
	}
	name := nameOf(column, row)
	aead, err := m.aead(name)
	if err != nil {
		return nil, err
	}
	secret, err := aead.Open([]byte{}, nil, value[headed:], name)
	if err != nil {
		return nil, ErrValue
	}
	return secret, nil
}

// Current reports whether a value is as Seal would make it now: with the first
// key, or as it is when there is none.
func (r *Ring) Current(value []byte) bool {
	if len(r.keys) == 0 {
		return len(value) > 0 && value[0] == formPlain
	}
	return len(value) >= headed && value[0] == formSealed && bytes.Equal(value[1:headed], r.keys[0].id[:])
}

// aead seals the values of one row and column.
func (m *master) aead(name []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(m.expand("value ", name))
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return aead, nil
}

// nameOf is one place in the database. No two have the same.
func nameOf(column string, row []string) []byte {
	name := binary.AppendUvarint(nil, uint64(len(column)))
	name = append(name, column...)
	for _, part := range row {
		name = binary.AppendUvarint(name, uint64(len(part)))
		name = append(name, part...)
	}
	return name
}

// ID names the first key, or is empty without one.
func (r *Ring) ID() string {
	if len(r.keys) == 0 {
		return ""
	}
	return hex.EncodeToString(r.keys[0].id[:])
}
