package storagetest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/enrollkit/enrollkit/mdm"
)

// SizesOptions says how large the stores are that Sizes compares.
type SizesOptions struct {
	// Enrollments is how many other devices there are, such as 1 000, 100 000
	// and 1 000 000.
	Enrollments []int
	// Queues is how many commands wait for the device, and how many it has
	// finished, such as 1, 100 and 10 000.
	Queues []int
	// Rounds is how often each step is measured. Defaults to 200.
	Rounds int
	// Fill gives an open store at a place so many enrollments, users, tickets and
	// identities, and brings the statistics of the database up to date. Nil: they
	// are enrolled step by step.
	Fill func(place string, enrollments int) error
}

// ParseSizes reads numbers of enrollments with commas between them, as a flag of
// a test may have them.
func ParseSizes(text string) ([]int, error) {
	var list []int
	for part := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(part)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is not a number of enrollments", part)
		}
		list = append(list, n)
	}
	return list, nil
}

// Sizes measures what connect, TokenUpdate and Authenticate cost with more and
// fewer enrollments, longer and shorter queues and histories, and logs a table of
// medians in microseconds. The stores take turns, so that what else the machine
// does touches all alike. It fails only when a step does: times are to be read.
func Sizes(t testing.TB, suite Suite, o SizesOptions) {
	t.Helper()
	if o.Rounds == 0 {
		o.Rounds = 200
	}
	var cases []*sized
	for _, n := range o.Enrollments {
		w := &world[Devices]{reporter: t, open: suite.Devices, place: t.TempDir(), suite: suite}
		t.Cleanup(w.closeAll)
		w.store = w.node()
		s := tell(w)
		if o.Fill != nil {
			s.ok(o.Fill(w.place, n), "Fill")
		}
		for i := 0; i < n && o.Fill == nil; i++ {
			s.enrolled(fmt.Sprint("other-", i), fmt.Sprint("user of other-", i), start)
		}
		for _, queue := range o.Queues {
			cases = append(cases, newSized(s, n, queue, o.Rounds))
		}
	}
	steps := []struct {
		name string
		do   func(*sized, int) error
	}{{"connect", (*sized).connect}, {"TokenUpdate", (*sized).tokenUpdate}, {"Authenticate", (*sized).authenticate}}
	took := make([][][]time.Duration, len(steps))
	for i, step := range steps {
		took[i] = make([][]time.Duration, len(cases))
		for round := range o.Rounds {
			for k, c := range cases {
				if i == 0 {
					c.enqueue(start, c.waiting[c.queue+1+round]) // one comes for each that goes
				}
				begun := time.Now()
				err := step.do(c, round)
				took[i][k] = append(took[i][k], time.Since(begun))
				c.ok(err, step.name)
			}
		}
	}
	var table strings.Builder
	fmt.Fprintf(&table, "medians of %d rounds, in µs\n%12s %8s", o.Rounds, "enrollments", "queue")
	for _, step := range steps {
		fmt.Fprintf(&table, " %14s", step.name)
	}
	for k, c := range cases {
		fmt.Fprintf(&table, "\n%12d %8d", c.enrollments, c.queue)
		for i := range steps {
			fmt.Fprintf(&table, " %8.1f (%.2f)", micros(took[i][k]), micros(took[i][k])/micros(took[i][0]))
		}
	}
	t.Log(table.String())
}

// micros is the median in microseconds.
func micros(list []time.Duration) float64 {
	slices.Sort(list)
	return float64(list[len(list)/2].Nanoseconds()) / 1000
}

// sized is a device beside so many others, with so many commands that wait and
// as many that are finished.
type sized struct {
	*phone
	enrollments, queue int
	fresh              []*phone
	waiting            []string
}

func newSized(s *story, enrollments, queue, rounds int) *sized {
	s.Helper()
	name := fmt.Sprintf("sized-%d-%d", enrollments, queue)
	c := &sized{phone: s.enrolled(name, "user of "+name, start), enrollments: enrollments, queue: queue}
	done := names("done", queue)
	c.waiting = names("waits", queue+1+rounds)
	for _, list := range [][]string{done, c.waiting[:queue+1]} {
		for from := 0; from < len(list); from += 1000 {
			c.enqueue(start, list[from:min(from+1000, len(list))]...)
		}
		if &list[0] == &done[0] {
			for _, uuid := range done {
				c.report(uuid, mdm.CommandAcknowledged, start)
			}
		}
	}
	for i := range rounds {
		c.fresh = append(c.fresh, s.identified(fmt.Sprint(name, "-", i), fmt.Sprint("user of ", name, i), start))
	}
	c.idle(start)
	return c
}

// connect reports a command and fetches the next one.
func (c *sized) connect(round int) error {
	out, err := c.exchange(mdm.ExchangeStep{CommandUUID: c.waiting[round], Status: mdm.CommandAcknowledged, Result: []byte("result"), At: start})
	if err == nil && (out.Reported == nil || uuid(out.Next) != c.waiting[round+1]) {
		err = fmt.Errorf("reported %s, next %s", uuid(out.Reported), uuid(out.Next))
	}
	return err
}

func (c *sized) tokenUpdate(round int) error {
	step := tokenOf(c.certificate, c.id, start)
	step.Token = fmt.Append(nil, "token ", round)
	_, err := c.s.TokenUpdate(c.ctx, step)
	return err
}

func (c *sized) authenticate(round int) error {
	_, err := c.fresh[round].authenticate(start)
	return err
}
