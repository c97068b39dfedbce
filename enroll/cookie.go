package enroll

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// cookieNames are the names of this portal's cookies. Two portals on one host
// have two prefixes, and so two sets of cookies. The __Host- prefix makes browsers
// refuse a cookie that another host of the domain, or plain HTTP, has set.
type cookieNames struct{ session, signIn, device string }

func newCookieNames(prefix string) cookieNames {
	name := "__Host-" + strings.ReplaceAll(strings.Trim(prefix, "/"), "/", "-")
	return cookieNames{session: name + "-session", signIn: name + "-signin", device: name + "-device"}
}

// setCookie sets a cookie; age 0 is until the browser is closed, and negative
// deletes it.
func (p *Portal) setCookie(w http.ResponseWriter, name, value string, age time.Duration) {
	c := &http.Cookie{Name: name, Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: int(age.Seconds())}
	if age < 0 {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// cookie returns the value of a cookie that comes exactly once. Of two with one
// name, one was planted.
func cookie(r *http.Request, name string) string {
	list := r.CookiesNamed(name)
	if len(list) != 1 {
		return ""
	}
	return list[0].Value
}

// errSeal is every sealed value that does not open.
var errSeal = errors.New("enroll: sealed value does not open")

// maxSealed bounds a sealed value: browsers keep cookies of 4 KiB.
const maxSealed = 4 << 10

// sealer seals values with AES-256-GCM for one purpose: what was sealed for
// another does not open. The first key seals, all open.
type sealer struct {
	purpose string
	keys    []cipher.AEAD
	random  io.Reader
}

func newSealer(purpose string, keys [][]byte, random io.Reader) (*sealer, error) {
	s := &sealer{purpose: purpose, random: random}
	for _, k := range keys {
		derived, err := hkdf.Key(sha256.New, k, nil, "enrollkit "+purpose, 32)
		if err != nil {
			return nil, fmt.Errorf("enroll: cookie key: %w", err)
		}
		block, err := aes.NewCipher(derived)
		if err != nil {
			return nil, fmt.Errorf("enroll: cookie key: %w", err)
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return nil, fmt.Errorf("enroll: cookie key: %w", err)
		}
		s.keys = append(s.keys, aead)
	}
	return s, nil
}

// seal encrypts v as JSON.
func (s *sealer) seal(v any) (string, error) {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false) // six bytes for each bracket of what came from outside
	if err := e.Encode(v); err != nil {
		return "", fmt.Errorf("enroll: seal: %w", err)
	}
	plain := bytes.TrimSuffix(text.Bytes(), []byte("\n"))
	aead := s.keys[0]
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
	if _, err := io.ReadFull(s.random, nonce); err != nil {
		return "", fmt.Errorf("enroll: no randomness: %w", err)
	}
	sealed := base64.RawURLEncoding.EncodeToString(aead.Seal(nonce, nonce, plain, []byte(s.purpose)))
	if len(sealed) > maxSealed {
		return "", fmt.Errorf("enroll: seal: %d bytes are too many", len(sealed))
	}
	return sealed, nil
}

// open decrypts into v what seal made with any of the keys, or fails with
// errSeal and leaves v alone.
func (s *sealer) open(text string, v any) error {
	if len(text) > maxSealed {
		return errSeal
	}
	b, ok := decode(text)
	if !ok {
		return errSeal
	}
	for _, aead := range s.keys {
		n := aead.NonceSize()
		if len(b) < n {
			return errSeal
		}
		plain, err := aead.Open(nil, b[:n], b[n:], []byte(s.purpose))
		if err == nil && json.Unmarshal(plain, v) == nil {
			return nil
		}
	}
	return errSeal
}

// decode reads base64 in the one form in which it was written: the package's
// decoder lets line breaks pass.
func decode(text string) ([]byte, bool) {
	if strings.ContainsAny(text, "\r\n") {
		return nil, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	return b, err == nil
}
