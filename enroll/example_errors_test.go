package enroll_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
)

// Every mistake of a configuration is named, so that one run shows them all.
func ExampleConfigError() {
	_, err := enroll.New(enroll.Config{BaseURL: "https://mdm.example.com/enroll", Clocks: enroll.Clocks{Wait: time.Minute, Window: time.Hour}})
	var bad *enroll.ConfigError
	if errors.As(err, &bad) {
		fmt.Println(bad)
	}
	// Output: enroll: Config.Tickets is required
}

// A person, a log and a program are told the same thing about a failure.
func ExampleRemedy() {
	p := enroll.Remedy(fmt.Errorf("ticket 7K2M: %w", enroll.ErrTicketExhausted))
	fmt.Println(p.Code, p.Status)
	fmt.Println(p.Cause, p.Remedy)
	// Output:
	// ticket_exhausted 410
	// The profile was downloaded as often as one sign-in allows. Sign in again.
}
