package ssotest

import (
	"context"
	"io"
	"net/http"
	"sync"
)

// inProcess is a transport that hands requests to a handler without a network,
// so that a test can run in a bubble of testing/synctest, where waiting takes
// no time.
type inProcess struct{ handler http.Handler }

// RoundTrip implements http.RoundTripper. Bodies stream in both directions.
func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	request := r.Clone(ctx)
	request.RequestURI = r.URL.RequestURI()
	request.Host = r.URL.Host
	if request.Body == nil {
		request.Body = http.NoBody
	}
	reader, writer := io.Pipe()
	w := &pipeWriter{header: http.Header{}, pipe: writer, began: make(chan struct{})}
	stop := context.AfterFunc(ctx, func() { writer.CloseWithError(context.Cause(ctx)) })
	go func() {
		defer cancel()
		t.handler.ServeHTTP(w, request)
		request.Body.Close()
		w.WriteHeader(http.StatusOK)
		if stop() {
			writer.CloseWithError(io.EOF)
		}
	}()
	select {
	case <-w.began:
	case <-ctx.Done():
		if r.Context().Err() != nil {
			return nil, r.Context().Err()
		}
		<-w.began
	}
	return &http.Response{
		Status: http.StatusText(w.status), StatusCode: w.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sent, Body: body{reader, cancel}, ContentLength: -1, Request: r,
	}, nil
}

// body ends the handler's request when it is closed, as a broken connection
// would.
type body struct {
	*io.PipeReader
	cancel context.CancelFunc
}

func (b body) Close() error {
	b.cancel()
	return b.PipeReader.Close()
}

// pipeWriter is a ResponseWriter whose body somebody reads meanwhile.
type pipeWriter struct {
	header http.Header
	pipe   *io.PipeWriter
	once   sync.Once
	began  chan struct{} // closed when status and sent are there
	status int
	sent   http.Header
}

func (w *pipeWriter) Header() http.Header { return w.header }

func (w *pipeWriter) WriteHeader(status int) {
	w.once.Do(func() {
		w.status, w.sent = status, w.header.Clone()
		close(w.began)
	})
}

func (w *pipeWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.pipe.Write(b)
}
