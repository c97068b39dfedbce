package mdmtest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/enrollkit/enrollkit/mdm/mdmtest"
)

// A person signs in at a portal. The answer to the first tap on the profile gets
// lost, and the second download is no profile.
func Example() {
	mux := http.NewServeMux() // the server under test
	page := func(pattern, html string) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, html) })
	}
	page("GET /enroll", `<a href="/enroll/login">Sign in</a>`)
	page("GET /enroll/login", `<form method="post" action="/enroll/login"><input name="username"><input name="password"></form>`)
	mux.HandleFunc("POST /enroll/login", func(w http.ResponseWriter, r *http.Request) {
		fmt.Println("signs in:", r.PostFormValue("username"))
		http.Redirect(w, r, "/enroll/ready", http.StatusSeeOther)
	})
	page("GET /enroll/ready", `<a href="/enroll/profile">Download the profile</a>`)
	page("GET /enroll/profile", "Too late")
	server := httptest.NewTLSServer(mux)
	defer server.Close()

	taps := 0
	phone, err := mdmtest.New(mdmtest.Config{
		Transport: server.Client().Transport,
		Lose: func(r *http.Request) mdmtest.Loss {
			if r.URL.Path == "/enroll/profile" {
				taps++
			}
			if taps == 1 {
				return mdmtest.LoseAnswer
			}
			return mdmtest.LoseNothing
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	if err := phone.SignIn(ctx, server.URL+"/enroll", "alice@example.com", "password"); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("shows:", phone.Safari.Page().Text())
	_, err = phone.Download(ctx)
	fmt.Println("lost:", errors.Is(err, mdmtest.ErrLost))
	_, err = phone.Download(ctx)
	fmt.Println(err)
	// Output:
	// signs in: alice@example.com
	// shows: Download the profile
	// lost: true
	// mdmtest: /enroll/profile is "text/plain; charset=utf-8" and no profile
}

func ExampleBrowser_Press() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /enroll", func(w http.ResponseWriter, r *http.Request) {
		if _, err := r.Cookie("device"); err == nil {
			io.WriteString(w, "Welcome, iPad")
			return
		}
		io.WriteString(w, `<form method="post" action="/device"><button>This is an iPhone or iPad</button></form>`)
	})
	mux.HandleFunc("POST /device", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "device", Value: "1", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
		http.Redirect(w, r, "/enroll", http.StatusSeeOther)
	})
	server := httptest.NewTLSServer(mux)
	defer server.Close()

	phone, err := mdmtest.New(mdmtest.Config{Transport: server.Client().Transport, Agent: "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)"})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	if _, err := phone.Safari.Open(ctx, server.URL+"/enroll"); err != nil {
		fmt.Println(err)
		return
	}
	page, err := phone.Safari.Press(ctx, "This is an iPhone or iPad")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(page.Text())
	// Output: Welcome, iPad
}
