package policy_test

import (
	"context"
	"fmt"

	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/mdm/policy"
	"github.com/enrollkit/enrollkit/sso/extension"
)

// Two groups get the sign-in of their identity provider.
func ExampleAssign() {
	sso := func(group, name string, e extension.Extension) policy.Assignment {
		p, err := extension.Profile(extension.Config{
			Organization: "Example Inc.", Identifier: "com.example.sso." + name, DisplayName: name,
		}, e)
		if err != nil {
			fmt.Println(err)
			return policy.Assignment{}
		}
		a, err := policy.Assign(group, p)
		if err != nil {
			fmt.Println(err)
		}
		return a
	}
	p, err := policy.New(policy.Config{
		Users: users{"alice": {"byod"}, "bob": {"contractors"}},
		Assignments: []policy.Assignment{
			sso("byod", "microsoft", extension.Microsoft{EnableSSOOnAllManagedApps: true}),
			sso("contractors", "okta", extension.Okta{Hosts: []string{"example.okta.com"}, ManagementHint: "from Okta"}),
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, user := range []string{"alice", "bob", "carol"} {
		commands, err := p.Plan(context.Background(), mdm.Enrollment{ID: "E-" + user, UserID: user})
		fmt.Println(user, len(commands), err)
	}
	// Output:
	// alice 1 <nil>
	// bob 1 <nil>
	// carol 0 policy: jit: unknown user
}
