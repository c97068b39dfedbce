package memory

import (
	"sync"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/storage"
)

// Store is a storage.Store. It is made by New, and is safe for concurrent use:
// one mutex makes every method one atomic step.
type Store struct {
	mu sync.Mutex

	users       map[string]*jit.User // by ID
	userOrder   []*jit.User
	people      map[person]*jit.User
	states      map[[32]byte]*attempt
	sessions    map[[32]byte]enroll.Session
	tickets     map[string]*ticket
	ticketOrder []*ticket
	bySession   map[[32]byte][]*ticket
	challenges  map[[32]byte]*challenge
	identities  map[[32]byte]*identity // by the digest of the certificate
	enrollments map[string]*enrollment // by EnrollmentID
	deviceOrder []*enrollment
	asked       map[*enrollment]bool // have a push pending, or had one
	byUser      map[string][]*enrollment
	queue       []*queued // of all enrollments
	suspended   map[string]bool
	grants      []*grant
	codes       map[[32]byte]*grant
	access      map[[32]byte]*generation
	refresh     map[[32]byte]*generation
	webSessions map[[32]byte]time.Time // that handed back, and when they end
}

var _ storage.Store = (*Store)(nil)

// New returns an empty store.
func New() *Store {
	return &Store{
		users:       map[string]*jit.User{},
		people:      map[person]*jit.User{},
		states:      map[[32]byte]*attempt{},
		sessions:    map[[32]byte]enroll.Session{},
		tickets:     map[string]*ticket{},
		bySession:   map[[32]byte][]*ticket{},
		challenges:  map[[32]byte]*challenge{},
		identities:  map[[32]byte]*identity{},
		enrollments: map[string]*enrollment{},
		asked:       map[*enrollment]bool{},
		byUser:      map[string][]*enrollment{},
		suspended:   map[string]bool{},
		codes:       map[[32]byte]*grant{},
		access:      map[[32]byte]*generation{},
		refresh:     map[[32]byte]*generation{},
		webSessions: map[[32]byte]time.Time{},
	}
}

// stamp is a time as every adapter keeps it: UTC, in microseconds, without the
// monotonic clock.
func stamp(t time.Time) time.Time {
	return t.UTC().Truncate(time.Microsecond)
}

// after is the order of what comes behind all of a list, which has gaps where
// Prune forgot something.
func after[T any](list []T, order func(T) int) int {
	if len(list) == 0 {
		return 0
	}
	return order(list[len(list)-1]) + 1
}
