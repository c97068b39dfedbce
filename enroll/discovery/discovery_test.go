package discovery_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll/discovery"
)

const (
	byodURL = "https://mdm.example.com/enroll/account/byod"
	addeURL = "https://mdm.example.com/enroll/account/adde"
	byod    = `{"Servers":[{"Version":"mdm-byod","BaseURL":"` + byodURL + `"}]}`
	adde    = `{"Servers":[{"Version":"mdm-adde","BaseURL":"` + addeURL + `"}]}`
)

// organizations are one with the default families, one that says them, one
// for Vision Pro only.
func organizations() []discovery.Organization {
	return []discovery.Organization{
		{Domains: []string{"example.com", "Bücher.example"}, BYOD: byodURL},
		{
			Domains: []string{"shop.example.org"}, BYOD: byodURL, ADDE: addeURL,
			Families: map[discovery.Family]discovery.Version{discovery.IPhone: discovery.BYOD, discovery.IPad: discovery.ADDE, discovery.Mac: discovery.ADDE},
		},
		{Domains: []string{"vision.example.net"}, BYOD: byodURL, Families: map[discovery.Family]discovery.Version{discovery.RealityDevice: discovery.BYOD}},
	}
}

func newHandler(t testing.TB) (*discovery.Handler, *strings.Builder) {
	t.Helper()
	log := &strings.Builder{}
	h, err := discovery.New(discovery.Config{Organizations: organizations(), Logger: slog.New(slog.NewTextHandler(log, nil))})
	require.NoError(t, err)
	return h, log
}

// ask sends a raw query.
func ask(h http.Handler, query string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, discovery.Path, nil)
	r.URL.RawQuery = query
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func query(identifier, family string) string {
	return "user-identifier=" + strings.ReplaceAll(url.PathEscape(identifier), "&", "%26") + "&model-family=" + family
}

func TestAnswers(t *testing.T) {
	h, _ := newHandler(t)
	for name, c := range map[string]struct {
		query  string
		status int
		body   string // of a 200
	}{
		"iPhone":                        {query("ada@example.com", "iPhone"), 200, byod},
		"iPad":                          {query("ada@example.com", "iPad"), 200, byod},
		"as the protocol's sample":      {"user-identifier=ada%40example.com&model-family=iPhone", 200, byod},
		"items in another order":        {"model-family=iPhone&user-identifier=ada%40example.com", 200, byod},
		"an item that is not known":     {"model-family=iPhone&user-identifier=ada%40example.com&os=27", 200, byod},
		"plus unescaped":                {"user-identifier=ada+work@example.com&model-family=iPhone", 200, byod},
		"plus escaped":                  {"user-identifier=ada%2Bwork%40example.com&model-family=iPhone", 200, byod},
		"upper case":                    {query("Ada@EXAMPLE.Com", "iPhone"), 200, byod},
		"dot at the end":                {query("ada@example.com.", "iPhone"), 200, byod},
		"internationalized":             {query("ada@bücher.example", "iPhone"), 200, byod},
		"internationalized, decomposed": {query("ada@bu\u0308cher.example", "iPhone"), 200, byod},
		"in ASCII":                      {query("ada@xn--bcher-kva.example", "iPhone"), 200, byod},
		"an apostrophe in the name":     {query("o'brien@example.com", "iPhone"), 200, byod},
		"a name in Greek":               {query("αδα@example.com", "iPhone"), 200, byod},
		"Mac by default":                {query("ada@example.com", "Mac"), 403, ""},
		"Vision Pro by default":         {query("ada@example.com", "RealityDevice"), 403, ""},
		"Vision Pro when listed":        {query("ada@vision.example.net", "RealityDevice"), 200, byod},
		"iPhone when not listed":        {query("ada@vision.example.net", "iPhone"), 403, ""},
		"a family of the future":        {query("ada@example.com", "iGlasses"), 403, ""},
		"family in lower case":          {query("ada@example.com", "iphone"), 403, ""},
		"listed iPhone":                 {query("ada@shop.example.org", "iPhone"), 200, byod},
		"listed iPad":                   {query("ada@shop.example.org", "iPad"), 200, adde},
		"listed Mac":                    {query("ada@shop.example.org", "Mac"), 200, adde},
		"no family":                     {"user-identifier=ada%40example.com", 200, byod},
		"no family where it matters":    {"user-identifier=ada%40shop.example.org", 403, ""},
		"another domain":                {query("ada@example.net", "iPhone"), 403, ""},
		"a domain below":                {query("ada@mail.example.com", "iPhone"), 403, ""},
		"a domain that ends alike":      {query("ada@notexample.com", "iPhone"), 403, ""},
		"empty family":                  {query("ada@example.com", ""), 400, ""},
		"odd family":                    {query("ada@example.com", "i%20Phone"), 400, ""},
		"long family":                   {query("ada@example.com", strings.Repeat("i", 33)), 400, ""},
		"family twice":                  {query("ada@example.com", "iPhone&model-family=iPad"), 400, ""},
		"identifier twice":              {query("ada@example.com", "iPhone") + "&user-identifier=bob%40example.com", 400, ""},
		"no query":                      {"", 400, ""},
		"bad escape":                    {"user-identifier=ada%4", 400, ""},
		"only the name":                 {"user-identifier", 400, ""},
		"no domain":                     {query("ada@", "iPhone"), 400, ""},
		"no name":                       {query("@example.com", "iPhone"), 400, ""},
		"no dot":                        {query("ada@localhost", "iPhone"), 400, ""},
		"an address literal":            {query("ada@[127.0.0.1]", "iPhone"), 400, ""},
		"a port":                        {query("ada@example.com:443", "iPhone"), 400, ""},
		"a path":                        {query("ada@example.com/x", "iPhone"), 400, ""},
		"an underscore in the domain":   {query("ada@ex_ample.com", "iPhone"), 400, ""},
		"an empty label":                {query("ada@example..com", "iPhone"), 400, ""},
		"a label of 64":                 {query("ada@"+strings.Repeat("a", 64)+".com", "iPhone"), 400, ""},
		"bad punycode":                  {query("ada@xn--a.example", "iPhone"), 400, ""},
		"not UTF-8":                     {"user-identifier=%ff%40example.com", 400, ""},
		"a full-width @":                {query("ada＠example.com", "iPhone"), 400, ""},
		"a space made of a plus":        {query("a b@example.com", "iPhone"), 400, ""},
		"321 bytes":                     {query(strings.Repeat("a", 321-12)+"@example.com", "iPhone"), 400, ""},
		"320 bytes":                     {query(strings.Repeat("a", 320-12)+"@example.com", "iPhone"), 200, byod},
	} {
		t.Run(name, func(t *testing.T) {
			w := ask(h, c.query)
			require.Equal(t, c.status, w.Code)
			require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
			switch c.status {
			case http.StatusOK:
				require.Equal(t, []string{"application/json"}, w.Header()["Content-Type"])
				require.Equal(t, c.body, w.Body.String())
			case http.StatusForbidden:
				requireFailure(t, w)
			default:
				require.NotContains(t, w.Header().Get("Content-Type"), "json", "Apple has no document for this")
			}
		})
	}
}

// requireFailure checks Apple's error document: the keys in lower case, each a
// text, and the type that devices compare.
func requireFailure(t testing.TB, w *httptest.ResponseRecorder) {
	t.Helper()
	require.Equal(t, []string{"application/json"}, w.Header()["Content-Type"])
	var document map[string]string
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &document))
	require.Equal(t, discovery.CodeFailed, document["code"])
	require.NotEmpty(t, document["message"])
	require.NotEmpty(t, document["description"])
	require.Len(t, document, 3)
}

func TestTextsOfRefusals(t *testing.T) {
	h, err := discovery.New(discovery.Config{Organizations: organizations(), UnknownDomain: "Nicht hier <&>.", UnknownFamily: "Nicht dieses Gerät.", Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	require.Contains(t, ask(h, query("a@b.example", "iPhone")).Body.String(), `"message":"Nicht hier <&>."`)
	require.Contains(t, ask(h, query("a@example.com", "Mac")).Body.String(), `"message":"Nicht dieses Gerät."`)
}

func TestMethods(t *testing.T) {
	h, _ := newHandler(t)
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions, "PROPFIND"} {
		r := httptest.NewRequest(method, discovery.Path+"?"+query("ada@example.com", "iPhone"), nil)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		require.Equal(t, http.StatusMethodNotAllowed, w.Code, method)
		require.Equal(t, "GET, HEAD", w.Header().Get("Allow"), method)
	}
	server := httptest.NewServer(h)
	defer server.Close()
	resp, err := http.Head(server.URL + discovery.Path + "?" + query("ada@example.com", "iPhone"))
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Equal(t, int64(len(byod)), resp.ContentLength)
}

// The host is that of the mail domain, of the MDM server or of Apple's
// fallback; none of them matters.
func TestAnyHost(t *testing.T) {
	h, _ := newHandler(t)
	mux := http.NewServeMux()
	mux.Handle(discovery.Path, h)
	for _, host := range []string{"example.com", "mdm.example.com", "10.0.0.1:8443"} {
		r := httptest.NewRequest(http.MethodGet, "https://"+host+discovery.Path+"?"+query("ada@example.com", "iPhone"), nil)
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		require.Equal(t, http.StatusOK, w.Code, host)
	}
}

func TestConfigIsJudgedWhole(t *testing.T) {
	_, err := discovery.New(discovery.Config{
		Organizations: []discovery.Organization{
			{BYOD: byodURL},
			{Domains: []string{"example.com", "EXAMPLE.com.", "no dot", "localhost"}, BYOD: "http://mdm.example.com/byod", ADDE: addeURL},
			{Domains: []string{"a.example"}, ADDE: addeURL},
			{Domains: []string{"b.example"}, BYOD: "https://mdm.example.com/byod?t=1", Families: map[discovery.Family]discovery.Version{"iPod": "mdm-byod", discovery.Mac: "mdm-mac"}},
			{Domains: []string{"c.example"}, Families: map[discovery.Family]discovery.Version{}},
		},
		UnknownDomain: "\xff", UnknownFamily: strings.Repeat("x", 1025),
	})
	require.ErrorIs(t, err, discovery.ErrConfig)
	for _, part := range []string{
		"Organizations[0].Domains is empty",
		`Organizations[1].Domains[1]: "EXAMPLE.com." is there twice`,
		`Organizations[1].Domains[2]: "no dot" is not a domain`,
		`Organizations[1].Domains[3]: "localhost" is not a domain`,
		"Organizations[1].BYOD: \"http://mdm.example.com/byod\" must be https://",
		"Organizations[1].ADDE is given, and Families leads no device to mdm-adde",
		"Organizations[2].BYOD: \"\" must be https://",
		"Organizations[2].ADDE is given, and Families leads no device to mdm-adde",
		"Organizations[3].BYOD: \"https://mdm.example.com/byod?t=1\" must be https://",
		"Organizations[3].Families: \"iPod\" is no model family",
		"Organizations[3].Families[Mac]: \"mdm-mac\" is neither mdm-byod nor mdm-adde",
		"Organizations[4].Families is empty",
		"UnknownDomain is not UTF-8", "UnknownFamily is not UTF-8",
	} {
		require.ErrorContains(t, err, part)
	}
	for line := range strings.Lines(err.Error()) {
		require.True(t, strings.HasPrefix(line, discovery.ErrConfig.Error()+": "), line)
	}
	_, err = discovery.New(discovery.Config{})
	require.ErrorIs(t, err, discovery.ErrConfig)
}

func TestStaticFile(t *testing.T) {
	h, _ := newHandler(t)
	for _, domain := range []string{"example.com", "EXAMPLE.com", "bücher.example"} {
		file, err := h.StaticFile(domain)
		require.NoError(t, err)
		require.Equal(t, ask(h, query("ada@"+domain, "iPhone")).Body.String(), string(file))
		file[0] = 'x'
		require.Equal(t, byod, ask(h, query("ada@"+domain, "iPhone")).Body.String(), "the file is the caller's")
	}
	_, err := h.StaticFile("shop.example.org")
	require.ErrorIs(t, err, discovery.ErrNotStatic)
	for _, domain := range []string{"example.net", "", "a b"} {
		_, err = h.StaticFile(domain)
		require.ErrorIs(t, err, discovery.ErrNotServed)
	}
}
