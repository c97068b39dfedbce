package main

import (
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"
)

// ourHost is a Host header or the host of an https URL in one form: lower case,
// without the port that https implies.
func ourHost(host string) string {
	return strings.TrimSuffix(strings.ToLower(host), ":443")
}

// onlyOurHost lets requests for the base URL's host through, sends localhost
// there, and answers 421 to everything else, so that no page and no redirect
// is ever made of what a stranger put into a Host header.
func onlyOurHost(base *url.URL, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := ourHost(r.Host)
		name, _, err := net.SplitHostPort(host)
		if err != nil {
			name = host
		}
		switch {
		case host == base.Host && !shortest(r.URL.Path):
			http.NotFound(w, r)
		case host == base.Host:
			next.ServeHTTP(w, r)
		case name == "localhost" && strings.HasPrefix(r.URL.Path, "/"):
			target := url.URL{Scheme: base.Scheme, Host: base.Host, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
			w.Header().Set("Location", target.String())
			w.WriteHeader(http.StatusTemporaryRedirect)
		default:
			http.Error(w, "this server does not serve that host", http.StatusMisdirectedRequest)
		}
	})
}

// shortest reports whether a path is in its shortest form. The mux would
// redirect the others, which no device or browser sends.
func shortest(p string) bool {
	clean := path.Clean("/" + p)
	return p == clean || p == clean+"/"
}
