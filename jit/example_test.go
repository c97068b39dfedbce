package jit_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/storage/memory"
)

func ExampleProvisioner_SignIn() {
	p, err := jit.New(jit.Config{
		Store: memory.New(), // what is gone when the process ends
		// The company's user names are not its Managed Apple Accounts.
		ManagedAppleAccount: "{preferred_username|localpart|lower}@appleid.example.com",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	id := jit.Identity{
		Issuer: "https://login.example.com", Subject: "8f2c", PreferredUsername: "Alice@corp.example.com", Name: "Alice",
		Groups: []string{"byod"}, GroupState: jit.GroupsPresent,
	}
	for range 2 {
		u, created, err := p.SignIn(context.Background(), id)
		fmt.Println(created, u.DisplayName, u.ManagedAppleAccount, u.Groups, err)
	}
	// Output:
	// true Alice alice@appleid.example.com [byod] <nil>
	// false Alice alice@appleid.example.com [byod] <nil>
}

// A mistake in a mapping is told when the server starts.
func ExampleMapping() {
	_, err := jit.New(jit.Config{Store: memory.New(), ManagedAppleAccount: "{upn|lowercase}"})
	var bad *jit.MappingError
	fmt.Println(errors.As(err, &bad))
	fmt.Println(err)
	// Output:
	// true
	// jit: mapping of managed_apple_account: unknown filter "lowercase"
}
