package push

// For tests of what APNs sends.
var (
	ReadReason     = readReason
	ReadRetryAfter = readRetryAfter
)

// Limits that tests go up to.
const (
	MaxAnswer = maxAnswer
	BadStreak = badStreak
)
