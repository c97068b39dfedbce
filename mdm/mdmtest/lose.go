package mdmtest

import (
	"errors"
	"fmt"
	"io"
	"net/http"
)

// Loss is what the network loses of a request and its answer.
type Loss int

const (
	// LoseNothing lets request and answer through.
	LoseNothing Loss = iota
	// LoseRequest: the request never reaches the server.
	LoseRequest
	// LoseAnswer: the server answers, and the answer never reaches the phone.
	LoseAnswer
)

// ErrLost is every request that Config.Lose lost, for errors.Is.
var ErrLost = errors.New("mdmtest: the network lost it")

// lossyTransport loses what its knob says.
type lossyTransport struct {
	next http.RoundTripper
	lose func(*http.Request) Loss
}

func (c Config) lossy(next http.RoundTripper) http.RoundTripper {
	if c.Lose == nil {
		return next
	}
	return &lossyTransport{next, c.Lose}
}

// RoundTrip implements http.RoundTripper. A lost answer was received whole, so
// that the server is done with it.
func (t *lossyTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	loss := t.lose(r)
	if loss == LoseRequest {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, fmt.Errorf("%w: the request", ErrLost)
	}
	resp, err := t.next.RoundTrip(r)
	if err != nil || loss == LoseNothing {
		return resp, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	return nil, errors.Join(fmt.Errorf("%w: the answer", ErrLost), err)
}
