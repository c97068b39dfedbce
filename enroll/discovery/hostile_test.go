package discovery_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll/discovery"
)

func TestHostile57Identifiers(t *testing.T) {
	h, log := newHandler(t)
	for name, raw := range map[string]string{
		"absent":            "model-family=iPhone",
		"empty":             "user-identifier=&model-family=iPhone",
		"two @":             query("a@b@c", "iPhone"),
		"two @, a domain":   query("a@b.example@example.com", "iPhone"),
		"10 KB":             query(strings.Repeat("a", 10<<10)+"@example.com", "iPhone"),
		"10 KB of domain":   query("a@"+strings.Repeat("a.", 5<<10)+"com", "iPhone"),
		"10 KB elsewhere":   query("a@example.com", "iPhone") + "&x=" + strings.Repeat("a", 10<<10),
		"10,000 items":      strings.Repeat("&", 10_000) + query("a@example.com", "iPhone"),
		"CR LF":             "user-identifier=ada%40example.com%0d%0aSet-Cookie:%20a=b&model-family=iPhone",
		"CR LF in the name": "user-identifier=ada%0d%0a%40example.com&model-family=iPhone",
		"CR LF in a family": "user-identifier=ada%40example.com&model-family=iPhone%0d%0a",
		"NUL":               query("ada\x00@example.com", "iPhone"),
		"bidi override":     query("ada\u202e@example.com", "iPhone"),
		"zero width":        query("ada\u200b@example.com", "iPhone"),
		"U+FFFD":            query("ada\ufffd@example.com", "iPhone"),
		"SQL":               query("' OR 1=1 --@example.com", "iPhone"),
		"SQL, closed":       query("a';DROP TABLE users@example.com", "iPhone"),
		"LDAP":              query("*)(uid=*@example.com", "iPhone"),
		"a template":        query("${jndi:ldap://x}@example.com", "iPhone"),
		"markup":            query("<script>@example.com", "iPhone"),
		"quoted":            query(`"a b"@example.com`, "iPhone"),
		"comment":           query("ada(x)@example.com", "iPhone"),
		"SQL in the domain": query("ada@example.com' OR '1'='1", "iPhone"),
		"another domain":    query("ada@example.net", "iPhone"),
		"another family":    query("ada@example.com", "Toaster"),
	} {
		t.Run(name, func(t *testing.T) {
			log.Reset()
			w := ask(h, raw)
			require.Contains(t, []int{http.StatusBadRequest, http.StatusForbidden}, w.Code)
			if w.Code == http.StatusForbidden {
				requireFailure(t, w)
			}
			require.Len(t, w.Header()["Content-Type"], 1)
			require.Empty(t, w.Header().Get("Set-Cookie"))
			require.Less(t, w.Body.Len(), 512)
			require.Less(t, log.Len(), 512, "what a stranger wrote fills no log")
			require.Equal(t, 1, strings.Count(log.String(), "\n"))
			require.NotContains(t, log.String(), "ada", "who asked is not logged")
		})
	}
}

// The handler knows no users, so there is nothing to enumerate; this holds
// that it stays so, byte for byte.
func TestHostile57NoEnumeration(t *testing.T) {
	h, _ := newHandler(t)
	server := httptest.NewServer(h)
	defer server.Close()
	want := ""
	for _, user := range []string{"ada", "nobody", "root", "o'brien", "ada+1", strings.Repeat("a", 300), "αδα"} {
		resp, err := http.Get(server.URL + discovery.Path + "?user-identifier=" + url.PathEscape(user) + "%40example.com&model-family=iPhone")
		require.NoError(t, err)
		resp.Header.Del("Date")
		got := &strings.Builder{}
		require.NoError(t, resp.Write(got))
		if want == "" {
			want = got.String()
		}
		require.Equal(t, want, got.String(), user)
	}
}

// FuzzQuery: whatever is asked, the answer is one of those that are documented,
// and it is the same whoever asks.
func FuzzQuery(f *testing.F) {
	for _, raw := range []string{
		query("ada@example.com", "iPhone"), query("ada+work@xn--bcher-kva.example", "iPad"), query("ada@shop.example.org", "Mac"),
		"user-identifier=a+b@example.com", "user-identifier=ada%40BÜCHER.example&model-family=iPhone", // accepted so far
		"", "&&==&", "user-identifier=a%40b%40c", "user-identifier=%0d%0a%40example.com&model-family=iPhone", query("ada@example.com", "Toaster"),
		"user-identifier=%", query("ada@xn--a.example", "iPhone"), query("ada@\u200d.example", "iPhone"),
	} {
		f.Add(raw, "ada")
	}
	f.Add("", "o'brien")
	f.Add("", "a b")
	f.Add("", "a@b.example&c")
	h, _ := newHandler(f)
	want := ask(h, query("ada@example.com", "iPhone"))
	f.Fuzz(func(t *testing.T, raw, user string) {
		switch w := ask(h, raw); w.Code {
		case http.StatusOK:
			require.Contains(t, []string{byod, adde}, w.Body.String())
			require.Equal(t, "application/json", w.Header().Get("Content-Type"))
			require.True(t, strings.Contains(raw, "@") || strings.Contains(raw, "%40"))
		case http.StatusForbidden:
			requireFailure(t, w)
		default:
			require.Equal(t, http.StatusBadRequest, w.Code)
		}
		w := ask(h, query(user+"@example.com", "iPhone"))
		if w.Code != http.StatusBadRequest {
			require.Equal(t, want.Code, w.Code)
			require.Equal(t, want.Body.String(), w.Body.String())
			require.Equal(t, want.Header(), w.Header())
		}
	})
}
