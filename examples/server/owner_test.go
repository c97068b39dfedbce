package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/enrollkit/enrollkit/mdm/mdmtest"
)

// owner is a person with a phone on a bad network. What iOS does again it does
// again, and what it does not the person does.
type owner struct {
	*dice

	user, portal string
	phone        *mdmtest.Phone
	account      bool // enrolls in Settings
	returns      bool // comes back by itself, after NotNow
	attempts     atomic.Int64

	last *mdmtest.Account
}

// wait is the time until something is tried again.
func (o *owner) wait(ctx context.Context) error {
	timer := time.NewTimer(o.between(20*time.Millisecond, 400*time.Millisecond))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// enroll goes on until the phone is enrolled.
func (o *owner) enroll(ctx context.Context) error {
	for {
		o.attempts.Add(1)
		err := o.begin(ctx)
		if err == nil {
			err = o.install(ctx)
		}
		if err == nil {
			return nil
		}
		if waited := o.wait(ctx); waited != nil {
			return fmt.Errorf("%s is not enrolled: %w, at last %w", o.user, waited, err)
		}
	}
}

// begin signs in, up to where the profile is.
func (o *owner) begin(ctx context.Context) (err error) {
	if !o.account {
		return o.phone.SignIn(ctx, o.portal, o.user, password)
	}
	if o.last, err = o.phone.Discover(ctx, o.user); err != nil {
		return err
	}
	if _, err := o.last.RequestChallenge(ctx); err != nil {
		return err
	}
	if err := o.last.SignIn(ctx, o.user, password); err != nil {
		return err
	}
	return o.last.RequestToken(ctx)
}

func (o *owner) fetch(ctx context.Context) error {
	if o.account {
		return o.last.RequestProfile(ctx)
	}
	_, err := o.phone.Download(ctx)
	return err
}

// install fetches the profile and installs it, some times over: after a failed
// installation nothing of it is on the phone.
func (o *owner) install(ctx context.Context) (err error) {
	for range 5 {
		if err = o.fetch(ctx); err == nil {
			err = o.identify(ctx)
		}
		if err == nil {
			err = o.phone.Authenticate(ctx)
		}
		if err == nil {
			return o.update(ctx)
		}
		if waited := o.wait(ctx); waited != nil {
			return errors.Join(waited, err)
		}
	}
	return err
}

// identify gets the certificate; while no answer comes the installation goes on.
func (o *owner) identify(ctx context.Context) (err error) {
	for range 5 {
		if _, err = o.phone.ObtainIdentity(ctx); err == nil || o.phone.Waiting() == nil {
			return err
		}
		if waited := o.wait(ctx); waited != nil {
			return errors.Join(waited, err)
		}
	}
	return err
}

// update sends the push token until it is taken: the profile is installed.
func (o *owner) update(ctx context.Context) error {
	for {
		err := o.phone.TokenUpdate(ctx)
		if err == nil {
			return nil
		}
		if o.phone.Identity() == nil {
			return fmt.Errorf("the phone of %s left while it was enrolled: %w", o.user, err)
		}
		if waited := o.wait(ctx); waited != nil {
			return fmt.Errorf("the phone of %s sends its token in vain: %w, at last %w", o.user, waited, err)
		}
	}
}

// obey connects whenever a push comes, until ctx ends.
func (o *owner) obey(ctx context.Context) error {
	for {
		wake, cancel := ctx, context.CancelFunc(func() {})
		if o.returns {
			wake, cancel = context.WithTimeout(ctx, 2*time.Second)
		}
		err := o.phone.AwaitPush(wake)
		cancel()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		for {
			if _, err = o.phone.Connect(ctx); err == nil {
				break
			}
			if o.phone.Identity() == nil || o.phone.Pending() != nil {
				return fmt.Errorf("the phone of %s left: %w", o.user, err)
			}
			if o.wait(ctx) != nil {
				return nil
			}
		}
	}
}
