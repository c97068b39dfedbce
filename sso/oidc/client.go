package oidc

import (
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"time"
)

const (
	maxBody      = 1 << 20 // bytes of any answer of the provider
	maxRedirects = 3
)

var (
	errTooLarge = errors.New("answer is too large")
	errRedirect = errors.New("redirect to another host, or too many")
)

// newClient returns the client for the provider: answers are bounded in size and
// time, redirects stay on the host that was asked, and a form is never sent on.
func newClient(c Config) *http.Client {
	client := &http.Client{}
	if c.HTTPClient != nil {
		*client = *c.HTTPClient
	} else {
		client.Transport = &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			TLSClientConfig:        &tls.Config{RootCAs: c.RootCAs, MinVersion: tls.VersionTLS12},
			ForceAttemptHTTP2:      true,
			MaxIdleConnsPerHost:    4,
			IdleConnTimeout:        30 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
		}
	}
	if client.Transport == nil {
		client.Transport = http.DefaultTransport
	}
	client.Transport = limited{client.Transport}
	client.Jar = nil
	client.Timeout = c.Timeout
	client.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		first := via[0]
		if len(via) > maxRedirects || first.Method != http.MethodGet ||
			req.URL.Host != first.URL.Host || req.URL.Scheme != first.URL.Scheme {
			return errRedirect
		}
		return nil
	}
	return client
}

// limited is a transport whose answers end with an error after maxBody bytes.
type limited struct{ next http.RoundTripper }

func (l limited) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if resp.ContentLength > maxBody {
		resp.Body.Close()
		return nil, errTooLarge
	}
	resp.Body = &limitedBody{ReadCloser: resp.Body, left: maxBody}
	return resp, nil
}

type limitedBody struct {
	io.ReadCloser
	left int64
}

func (b *limitedBody) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, errTooLarge
	}
	return n, err
}
