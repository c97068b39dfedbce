package mdmtest

import (
	"bytes"
	"context"
	"fmt"
	"io"
)

// pushToken returns token and magic of the installed profile, made at first.
func (p *Phone) pushToken() (token []byte, magic string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.token == nil {
		token = make([]byte, 32)
		if _, err := io.ReadFull(p.cfg.Random, token); err != nil {
			return nil, "", fmt.Errorf("mdmtest: randomness: %w", err)
		}
		if magic, err = p.uuid(); err != nil {
			return nil, "", err
		}
		p.token, p.magic = token, magic
	}
	return bytes.Clone(p.token), p.magic, nil
}

// Wake is called by the push service with what it delivers. A push for another
// token or with another magic is dropped, as a phone does.
func (p *Phone) Wake(token []byte, magic string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.token == nil || !bytes.Equal(token, p.token) || magic != p.magic {
		return
	}
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Owns reports whether the push token is this phone's.
func (p *Phone) Owns(token []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.token != nil && bytes.Equal(token, p.token)
}

// AwaitPush returns when a push woke the phone. Pushes that came since the last
// call count as one.
func (p *Phone) AwaitPush(ctx context.Context) error {
	select {
	case <-p.wake:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("mdmtest: no push came: %w", context.Cause(ctx))
	}
}
