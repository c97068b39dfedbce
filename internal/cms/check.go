// Package cms reads and writes the Cryptographic Message Syntax (RFC 5652) that
// Apple's devices speak: profile signatures, SCEP messages, the Mdm-Signature
// header and machine information.
//
// It is the only caller of the PKCS #7 library, which on its own overflows the
// stack on nested input, panics on crafted envelopes, checks no trust unless
// asked and takes the signer's word for the time. So every input passes Check
// first and is rewritten as DER; the library then only parses. Which rules a
// message was verified by is said by the function's name: there is no general
// verify.
//
// What is not supported is refused: signers named by SubjectKeyIdentifier,
// RSA-PSS, Ed25519, more than one signer or MaxCertificates certificates, RSA
// keys outside 1024 to 4096 bits, DES and triple DES.
package cms

import (
	"errors"
	"fmt"
	"slices"
)

// The bounds of every message.
const (
	maxDepth    = 32
	maxElements = 2000
	// MaxCertificates is the most certificates that a message may carry.
	MaxCertificates = 8
	// MaxBytes is the size in bytes that the functions of this package accept.
	// Callers bound what they read from the network more tightly.
	MaxBytes = 1 << 20
)

var (
	// ErrMalformed means that the bytes are not a message of the expected kind
	// and shape.
	ErrMalformed = errors.New("cms: malformed message")
	// ErrTooLarge means more bytes, levels or elements than are accepted.
	ErrTooLarge = errors.New("cms: message is too large")
	// ErrSignature means that the message is well formed, and that its signature
	// is not good or made with an algorithm or key that is not accepted.
	ErrSignature = errors.New("cms: signature does not verify")
	// ErrUntrusted means that the signature is good and its certificate is not
	// trusted for the purpose.
	ErrUntrusted = errors.New("cms: certificate is not trusted")
	// ErrDecrypt is every failure to decrypt, without a difference.
	ErrDecrypt = errors.New("cms: cannot decrypt")
)

func malformed(reason string) error { return fmt.Errorf("%w: %s", ErrMalformed, reason) }

// element is one TLV in b: its content is b[contentStart:contentEnd], and the
// next one begins at end. For an indefinite length both are only the limit.
type element struct {
	tag                           byte
	indefinite                    bool
	contentStart, contentEnd, end int
}

// header reads the tag and length at b[at:], bounded by limit.
func header(b []byte, at, limit int) (element, error) {
	if limit-at < 2 {
		return element{}, malformed("cut off")
	}
	e := element{tag: b[at]}
	if e.tag&0x1f == 0x1f {
		return e, malformed("high tag number")
	}
	length := int(b[at+1])
	e.contentStart = at + 2
	switch {
	case length == 0x80:
		if e.tag&0x20 == 0 {
			return e, malformed("primitive of indefinite length")
		}
		e.indefinite = true
		e.contentEnd, e.end = limit, limit
		return e, nil
	case length > 0x80:
		n := length & 0x7f
		if n > 3 {
			return e, malformed("length of more than three bytes")
		}
		if limit-e.contentStart < n {
			return e, malformed("cut off")
		}
		length = 0
		for _, c := range b[e.contentStart : e.contentStart+n] {
			length = length<<8 | int(c)
		}
		e.contentStart += n
	}
	if length > limit-e.contentStart {
		return e, malformed("child past its parent")
	}
	e.contentEnd = e.contentStart + length
	e.end = e.contentEnd
	return e, nil
}

// Check walks the tags and lengths of b (DER or BER, definite and indefinite)
// without recursion and refuses what the parsers cannot be trusted with. More
// than maxBytes bytes, 32 levels or 2000 elements are ErrTooLarge. Everything
// else but one SEQUENCE that fills b is ErrMalformed: a high tag number, a length
// of more than three bytes, a child past its parent, an indefinite primitive, a
// stray or missing end of contents, bytes after the message.
func Check(b []byte, maxBytes int) error {
	if len(b) > maxBytes {
		return fmt.Errorf("%w: more than %d bytes", ErrTooLarge, maxBytes)
	}
	if len(b) == 0 || b[0] != 0x30 {
		return malformed("does not begin with a SEQUENCE")
	}
	type level struct {
		limit      int
		indefinite bool
	}
	stack := []level{{limit: len(b)}}
	at, elements := 0, 0
	for {
		top := stack[len(stack)-1]
		switch {
		case top.indefinite && at+2 <= top.limit && b[at] == 0 && b[at+1] == 0:
			at += 2
			stack = stack[:len(stack)-1]
		case at == top.limit && top.indefinite:
			return malformed("indefinite length without an end")
		case at == top.limit && len(stack) == 1:
			return nil
		case at == top.limit:
			stack = stack[:len(stack)-1]
		case len(stack) == 1 && elements > 0:
			return malformed("bytes after the message")
		default:
			e, err := header(b, at, top.limit)
			if err != nil {
				return err
			}
			if e.tag == 0 {
				return malformed("stray end of contents")
			}
			elements++
			if elements > maxElements {
				return fmt.Errorf("%w: more than %d elements", ErrTooLarge, maxElements)
			}
			if e.tag&0x20 == 0 {
				at = e.end
				continue
			}
			if len(stack) > maxDepth {
				return fmt.Errorf("%w: more than %d levels", ErrTooLarge, maxDepth)
			}
			stack = append(stack, level{limit: e.contentEnd, indefinite: e.indefinite})
			at = e.contentStart
		}
	}
}

// toDER rewrites a message that passed Check with definite lengths, and
// constructed octet strings (how BER chunks them) as single ones. It is linear
// in the input times its depth, which Check bounds.
func toDER(b []byte) ([]byte, error) {
	out, rest, err := appendDER(make([]byte, 0, len(b)+16), b, 0, len(b), 0)
	if err != nil {
		return nil, err
	}
	if rest != len(b) {
		return nil, malformed("bytes after the message")
	}
	return out, nil
}

// appendDER rewrites the element at b[at:] at the end of out. next is where the
// one after it begins.
func appendDER(out, b []byte, at, limit, depth int) (der []byte, next int, err error) {
	if depth > maxDepth {
		return nil, 0, ErrTooLarge
	}
	e, err := header(b, at, limit)
	if err != nil {
		return nil, 0, err
	}
	if e.tag&0x20 == 0 {
		out = appendHead(out, e.tag, e.contentEnd-e.contentStart)
		return append(out, b[e.contentStart:e.contentEnd]...), e.end, nil
	}
	begin := len(out)
	octets := e.tag == 0x24 // a constructed OCTET STRING
	for at = e.contentStart; ; {
		if e.indefinite && at+2 <= e.contentEnd && b[at] == 0 && b[at+1] == 0 {
			at += 2
			break
		}
		if !e.indefinite && at == e.contentEnd {
			break
		}
		child := len(out)
		if out, at, err = appendDER(out, b, at, e.contentEnd, depth+1); err != nil {
			return nil, 0, err
		}
		if octets {
			inner, err := header(out, child, len(out))
			if err != nil || inner.tag != 0x04 {
				return nil, 0, malformed("chunk that is no octet string")
			}
			out = slices.Delete(out, child, inner.contentStart)
		}
	}
	tag := e.tag
	if octets {
		tag = 0x04
	}
	var head [6]byte // is put before the content when its length is known
	return slices.Insert(out, begin, appendHead(head[:0], tag, len(out)-begin)...), at, nil
}

// encode writes one TLV of definite length.
func encode(tag byte, content []byte) []byte {
	return append(appendHead(make([]byte, 0, len(content)+6), tag, len(content)), content...)
}

// appendHead appends a tag and a definite length of n.
func appendHead(out []byte, tag byte, n int) []byte {
	switch {
	case n < 0x80:
		return append(out, tag, byte(n))
	case n < 1<<8:
		return append(out, tag, 0x81, byte(n))
	case n < 1<<16:
		return append(out, tag, 0x82, byte(n>>8), byte(n))
	case n < 1<<24:
		return append(out, tag, 0x83, byte(n>>16), byte(n>>8), byte(n))
	default:
		return append(out, tag, 0x84, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
}

// children lists the elements in the content of the DER element b, or false
// where b is not exactly one element of that tag.
func children(b []byte, tag byte) (list [][]byte, ok bool) {
	e, err := header(b, 0, len(b))
	if err != nil || e.tag != tag || e.indefinite || e.end != len(b) {
		return nil, false
	}
	for at := e.contentStart; at < e.contentEnd; {
		child, err := header(b, at, e.contentEnd)
		if err != nil || child.indefinite {
			return nil, false
		}
		list, at = append(list, b[at:child.end]), child.end
	}
	return list, true
}

// value is the content of the DER element b, or false where b is not exactly
// one element of that tag.
func value(b []byte, tag byte) ([]byte, bool) {
	e, err := header(b, 0, len(b))
	if err != nil || e.tag != tag || e.indefinite || e.end != len(b) {
		return nil, false
	}
	return b[e.contentStart:e.contentEnd], true
}
