package push

import (
	"context"
	"time"
)

// Target is one device to wake.
type Target struct {
	EnrollmentID string
	// Topic is the push certificate's topic that the device enrolled with.
	Topic string
	// Token is the device's push token, of 1 to 100 bytes.
	Token []byte
	// Magic is the PushMagic that the device expects.
	Magic string
	// Request numbers what was asked for: a result settles all requests of the
	// device up to this one, and no later one.
	Request int64
	// Attempt is how many attempts were made for the request before.
	Attempt int
}

// Result is what came of one attempt to wake a device.
type Result struct {
	Target Target
	// ID is the apns-id, Status the HTTP status of APNs (0 when no answer
	// came) and Reason APNs's word for what was wrong.
	ID     string
	Status int
	Reason string
	At     time.Time
	// Retry is when to try again; zero settles the request.
	Retry time.Time
	// Dead: the token is of no use any more, since DeadAt when APNs told. Retry
	// then counts only when the token is kept, see Store.
	Dead   bool
	DeadAt time.Time
}

// Store keeps which devices are to be woken; mdm.Store asks for it in the steps
// that queue commands. Every method is one atomic step, durable when it returns
// nil; an error means that nothing changed. Returned values belong to the
// caller; times are UTC.
type Store interface {
	// ClaimPushes returns at most limit enrolled devices that have a push token
	// and a request due at now, the longest due first, and puts each off until
	// now+lease: no other call gets it meanwhile, and a worker that dies loses
	// nothing. Devices of suspended users are left out. However many requests
	// there were, a device is returned once.
	ClaimPushes(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]Target, error)
	// SettlePushes records results. Without Retry the requests up to
	// Target.Request are done; one made since stays, and is due at once. With
	// Retry the request is due then, its Attempt one higher. A Dead token is
	// forgotten if it is still Target.Token and, when DeadAt is known, was not
	// stored after it; the request then waits for the next TokenUpdate. When the
	// device has another token by now, the request is due at once. A result for
	// an enrollment that is unknown or ended changes nothing and is no error.
	SettlePushes(ctx context.Context, results ...Result) error
}
