package jit_test

import (
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/storage/memory"
)

// mapped is the user whom a sign-in with these mappings makes in an empty store.
func mapped(account, name jit.Mapping, id jit.Identity) (jit.User, error) {
	p, err := jit.New(jit.Config{Store: memory.New(), ManagedAppleAccount: account, DisplayName: name})
	if err != nil {
		return jit.User{}, err
	}
	u, _, err := p.SignIn(background, id)
	return u, err
}

func identity(claims map[string]any) jit.Identity {
	return jit.Identity{
		Issuer: "https://idp.example.com", Subject: "s-1", PreferredUsername: "alice@example.com",
		Email: "Alice.Liddell@mail.example.com", Name: "Alice Liddell", Claims: claims,
	}
}

func TestMapping(t *testing.T) {
	claims := map[string]any{
		"upn": "ALICE@Corp.example.com", "number": json.Number("42"), "float": 7.0, "int": 8, "int64": int64(9),
		"with space": "x", "a@b@c": "first@second@third.example", "umlaut": "ÄÖÜ", "email": "claim@example.com",
		"https://example.com/claim": "namespaced",
	}
	for _, c := range []struct {
		mapping jit.Mapping
		want    string
	}{
		{"", "alice@example.com"},
		{"preferred_username", "alice@example.com"},
		{"{preferred_username}", "alice@example.com"},
		{"upn", "ALICE@Corp.example.com"},
		{"{upn|lower}", "alice@corp.example.com"},
		{"{upn|localpart}@appleid.example.com", "ALICE@appleid.example.com"},
		{"{upn|localpart|lower}@appleid.{upn|domain|lower}", "alice@appleid.corp.example.com"},
		{"{upn|lower|domain}@x", "corp.example.com@x"},
		{"{a@b@c|localpart|domain}@{a@b@c|domain}", "second@third.example"},
		{"{name|localpart}.{sub}@x", "Alice Liddell.s-1@x"},
		{"{number}-{float}-{int}-{int64}@x", "42-7-8-9@x"},
		{"{with space}@x", "x@x"},
		{"{umlaut|lower}@x", "äöü@x"},
		{"email", "claim@example.com"}, // the claim, not the field
		{"{https://example.com/claim}@x", "namespaced@x"},
		{"fixed{sub}@x", "fixeds-1@x"},
	} {
		t.Run(string(c.mapping), func(t *testing.T) {
			u, err := mapped(c.mapping, "", identity(claims))
			if strings.Contains(c.want, " ") { // no account has a space inside
				require.Error(t, err)
				u, err = mapped("", c.mapping, identity(claims))
				require.NoError(t, err)
				require.Equal(t, c.want, u.DisplayName)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, u.ManagedAppleAccount)
		})
	}
}

func TestMappingsThatCannotBeParsed(t *testing.T) {
	for name, c := range map[string]struct {
		mapping jit.Mapping
		says    string
	}{
		"not closed":         {"{upn", "{ without }"},
		"not opened":         {"upn}", "} without {"},
		"closed twice":       {"{upn}}", "} without {"},
		"brace in a brace":   {"{a{b}}", "{ without }"},
		"no name":            {"{}", "no name"},
		"no name, a filter":  {"{|lower}", "no name"},
		"space around":       {"{ upn }", "space around"},
		"unknown filter":     {"{upn|upper}", `"upper"`},
		"empty filter":       {"{upn|}", `unknown filter ""`},
		"filter with space":  {"{upn| lower}", `" lower"`},
		"control character":  {"{upn}\n", "control characters"},
		"turned direction":   {"\u202e{upn}", "control characters"},
		"not UTF-8":          {"\xff", "control characters"},
		"more than a kibi":   {jit.Mapping(strings.Repeat("x", 1025)), "too long"},
		"a bare bar":         {"|lower", "no name"},
		"claim of a space":   {" ", "space around"},
		"unknown bare claim": {"upn|lowercase", `"lowercase"`},
	} {
		t.Run(name, func(t *testing.T) {
			for field, cfg := range map[string]jit.Config{
				"managed_apple_account": {Store: memory.New(), ManagedAppleAccount: c.mapping},
				"display_name":          {Store: memory.New(), DisplayName: c.mapping},
			} {
				p, err := jit.New(cfg)
				require.Nil(t, p)
				var bad *jit.MappingError
				require.ErrorAs(t, err, &bad)
				require.Equal(t, field, bad.Field)
				require.Empty(t, bad.Claim)
				require.Contains(t, bad.Problem, c.says)
				require.ErrorContains(t, err, field)
			}
		})
	}
	_, err := jit.New(jit.Config{ManagedAppleAccount: "{", DisplayName: "}"})
	require.ErrorContains(t, err, "Store")
	require.ErrorContains(t, err, "managed_apple_account")
	require.ErrorContains(t, err, "display_name")
}

// A claim that cannot be mapped keeps the person out of the account's mapping,
// and names the claim without repeating what is in it.
func TestClaimsThatCannotBeMapped(t *testing.T) {
	for name, c := range map[string]struct {
		mapping jit.Mapping
		value   any
		claim   string
		says    string
	}{
		"missing":            {"{other}", nil, "other", "is missing"},
		"empty":              {"{c}", "", "c", "is missing"},
		"a list":             {"{c}", []any{"secret@example.com"}, "c", "neither text nor a number"},
		"a boolean":          {"{c}", true, "c", "neither text nor a number"},
		"a dictionary":       {"{c}", map[string]any{"secret": 1}, "c", "neither text nor a number"},
		"half":               {"{c}@x", 1.5, "c", "whole number"},
		"half, as text":      {"{c}@x", json.Number("1.5"), "c", "whole number"},
		"beyond 64 bits":     {"{c}@x", json.Number("1e400"), "c", "whole number"},
		"beyond exactness":   {"{c}@x", float64(1 << 60), "c", "whole number"},
		"a megabyte":         {"{c}", strings.Repeat("x", 1<<20), "c", "too long"},
		"no domain":          {"x@{c|domain}", "secret", "c", "nothing is left"},
		"no local part":      {"{c|localpart}@x", "@secret", "c", "nothing is left"},
		"no @":               {"{c}", "secret", "", "name@domain"},
		"two @":              {"{c}@x", "secret@y", "", "name@domain"},
		"nothing before @":   {"{c}", "@secret", "", "name@domain"},
		"nothing behind @":   {"{c}", "secret@", "", "name@domain"},
		"a space inside":     {"{c}", "sec ret@x", "", "name@domain"},
		"control character":  {"{c}", "secret\x00@x", "", "control characters"},
		"turned direction":   {"{c}", "secret\u202e@x", "", "control characters"},
		"not UTF-8":          {"{c}", "secret\xff@x", "", "control characters"},
		"more than 256":      {"{c}@x", strings.Repeat("x", 255), "", "too long"},
		"sum is more":        {"{c}{c}@x", strings.Repeat("x", 200), "", "too long"},
		"no-break space":     {"{c}", "secret\u00a0@x", "", "name@domain"},
		"field that is none": {"{email_verified}@x", nil, "email_verified", "is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			u, err := mapped(c.mapping, "", identity(map[string]any{"c": c.value}))
			require.Zero(t, u)
			var bad *jit.MappingError
			require.ErrorAs(t, err, &bad)
			require.Equal(t, "managed_apple_account", bad.Field)
			require.Equal(t, c.claim, bad.Claim)
			require.Contains(t, bad.Problem, c.says)
			require.NotContains(t, err.Error(), "secret")
		})
	}
}

// A name that is missing or strange keeps nobody out.
func TestDisplayNameFallsBack(t *testing.T) {
	for name, c := range map[string]struct {
		mapping jit.Mapping
		change  func(*jit.Identity)
		want    string
	}{
		"default":           {"", func(*jit.Identity) {}, "Alice Liddell"},
		"mapped":            {"{name} ({sub})", func(*jit.Identity) {}, "Alice Liddell (s-1)"},
		"no name":           {"", func(id *jit.Identity) { id.Name = "" }, "alice@example.com"},
		"name of spaces":    {"", func(id *jit.Identity) { id.Name = " \t\n" }, "alice@example.com"},
		"no user name":      {"", func(id *jit.Identity) { id.Name, id.PreferredUsername = "", "" }, "Alice.Liddell@mail.example.com"},
		"only a subject":    {"", func(id *jit.Identity) { id.Name, id.PreferredUsername, id.Email = "", "", "" }, "s-1"},
		"unmappable claim":  {"{roles}", func(id *jit.Identity) { id.Claims["roles"] = []any{"x"} }, "alice@example.com"},
		"script stays text": {"", func(id *jit.Identity) { id.Name = `"><script>` }, `"><script>`},
		"controls vanish":   {"", func(id *jit.Identity) { id.Name = "\u202eAli\x00ce\r\n\ufeff\u2028" }, "Alice"},
		"not UTF-8":         {"", func(id *jit.Identity) { id.Name = "Ali\xffce" }, "Alice"},
		"10000 runes":       {"", func(id *jit.Identity) { id.Name = strings.Repeat("ä", 500) }, strings.Repeat("ä", 256)},
		"space at the cut":  {"", func(id *jit.Identity) { id.Name = strings.Repeat("a", 255) + "  b" }, strings.Repeat("a", 255)},
	} {
		t.Run(name, func(t *testing.T) {
			id := identity(map[string]any{"maid": "alice@example.com"})
			c.change(&id)
			u, err := mapped("maid", c.mapping, id)
			require.NoError(t, err)
			require.Equal(t, c.want, u.DisplayName)
		})
	}
}

var expression = regexp.MustCompile(`\{([^{}|]*)((?:\|[a-z]*)*)\}`)

// reference expands a mapping in another way than the package does.
func reference(m string, claims map[string]string) string {
	if !strings.ContainsAny(m, "{}") {
		m = "{" + m + "}"
	}
	return expression.ReplaceAllStringFunc(m, func(e string) string {
		parts := strings.Split(strings.Trim(e, "{}"), "|")
		v := claims[parts[0]]
		for _, f := range parts[1:] {
			at := strings.LastIndex(v, "@")
			switch {
			case f == "lower":
				v = strings.ToLower(v)
			case f == "localpart" && at >= 0:
				v = v[:at]
			case f == "domain":
				v = v[at+1:]
			}
		}
		return v
	})
}

// A mapping is refused when it is parsed, or the account is what a plain
// replacement makes and has the form of one, or nothing is stored.
func FuzzMapping(f *testing.F) {
	for _, m := range []string{
		"upn", "{upn|localpart|lower}@appleid.example.com", "{upn}", "{a}{b}@{upn|domain}", "x{b}@y",
		"{upn", "upn}", "{}", "{upn|upper}", "{a{b}}", "\x00", "",
	} {
		f.Add(m, "Alice@Example.com", "a", "b")
	}
	f.Add("{a|lower}@{b}", "x", "İ", "\u202e")
	f.Fuzz(func(t *testing.T, m, upn, a, b string) {
		values := map[string]string{"upn": upn, "a": a, "b": b}
		claims := map[string]any{}
		for k, v := range values {
			claims[k] = v
		}
		store := memory.New()
		p, err := jit.New(jit.Config{Store: store, ManagedAppleAccount: jit.Mapping(m)})
		var bad *jit.MappingError
		if err != nil {
			require.ErrorAs(t, err, &bad)
			require.Nil(t, p)
			return
		}
		u, created, err := p.SignIn(t.Context(), jit.Identity{Issuer: "i", Subject: "s", Claims: claims})
		if err != nil {
			require.True(t, errors.As(err, &bad), err)
			require.Zero(t, u)
			state, err := store.State(t.Context())
			require.NoError(t, err)
			require.Empty(t, state.Users)
			return
		}
		require.True(t, created)
		if m == "" {
			t.Fatal("the default claim was missing")
		}
		values["sub"] = "s"
		require.Equal(t, reference(m, values), u.ManagedAppleAccount)
		local, domain, at := strings.Cut(u.ManagedAppleAccount, "@")
		require.True(t, at && local != "" && domain != "")
		require.LessOrEqual(t, utf8.RuneCountInString(u.ManagedAppleAccount), 256)
		require.NotContains(t, u.ManagedAppleAccount, "\x00")
	})
}
