package storagetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/enrollkit/enrollkit/mdm"
)

// Benchmark measures the steps of the hot path on the suite's Devices, one
// device after the other and 64 at the same time: the whole time by the number
// of steps. Put the bare transaction of your database beside it.
func Benchmark(b *testing.B, s Suite) {
	for _, hot := range []struct {
		name    string
		prepare func(p *bench) func(k int) error
	}{
		{"Authenticate", (*bench).authenticate},
		{"TokenUpdate", (*bench).tokenUpdate},
		{"Exchange/empty", (*bench).idle},
		{"Exchange/report,queue=1", func(p *bench) func(int) error { return p.report(1) }},
		{"Exchange/report,queue=10000", func(p *bench) func(int) error { return p.report(10_000) }},
	} {
		for _, devices := range []int{1, 64} {
			b.Run(fmt.Sprint(hot.name, "/devices=", devices), func(b *testing.B) { measure(b, s, devices, hot.prepare) })
		}
	}
}

// measure shares b.N steps among devices that come at the same time.
func measure(b *testing.B, s Suite, devices int, prepare func(*bench) func(int) error) {
	w := &world[Devices]{reporter: b, open: s.Devices, place: b.TempDir(), suite: s}
	b.Cleanup(w.closeAll)
	w.store = w.node()
	steps := make([]func(int) error, devices)
	each := (b.N + devices - 1) / devices
	for i := range steps {
		steps[i] = prepare(&bench{story: tell(w), name: fmt.Sprint("bench", i), n: each})
	}
	b.ReportAllocs()
	b.ResetTimer()
	errs := make([]error, devices)
	var all sync.WaitGroup
	for i, step := range steps {
		all.Go(func() {
			for k := 0; k < each && errs[i] == nil; k++ {
				errs[i] = step(k)
			}
		})
	}
	all.Wait()
	b.StopTimer()
	for _, err := range errs {
		if err != nil {
			b.Fatal(err)
		}
	}
}

// bench is one device that does n steps.
type bench struct {
	*story
	name string
	n    int
}

// authenticate is a first Authenticate each time.
func (p *bench) authenticate() func(int) error {
	phones := make([]*phone, p.n)
	for k := range phones {
		phones[k] = p.identified(fmt.Sprint(p.name, "-", k), fmt.Sprint("user of ", p.name, k), start)
	}
	return func(k int) error {
		_, err := phones[k].authenticate(start)
		return err
	}
}

// tokenUpdate is a new token each time.
func (p *bench) tokenUpdate() func(int) error {
	phone := p.enrolled(p.name, "user of "+p.name, start)
	step := tokenOf(phone.certificate, phone.id, start)
	return func(k int) error {
		step.Token = fmt.Append(nil, "token ", k)
		_, err := p.s.TokenUpdate(p.ctx, step)
		return err
	}
}

// idle finds nothing.
func (p *bench) idle() func(int) error {
	phone := p.enrolled(p.name, "user of "+p.name, start)
	return func(int) error {
		_, err := phone.exchange(mdm.ExchangeStep{Idle: true, At: start})
		return err
	}
}

// report reports one command and fetches the next, with so many left at the end.
func (p *bench) report(queue int) func(int) error {
	phone := p.enrolled(p.name, "user of "+p.name, start)
	uuids := make([]string, p.n+queue)
	for i := range uuids {
		uuids[i] = fmt.Sprintf("%s-%d", p.name, i)
	}
	for from := 0; from < len(uuids); from += 1000 {
		phone.enqueue(start, uuids[from:min(from+1000, len(uuids))]...)
	}
	phone.idle(start)
	result := make([]byte, 500)
	return func(k int) error {
		out, err := phone.exchange(mdm.ExchangeStep{
			CommandUUID: uuids[k], Status: mdm.CommandAcknowledged, Result: result, At: start.Add(time.Minute),
		})
		if err == nil && (out.Reported == nil || uuid(out.Next) != uuids[k+1]) {
			err = fmt.Errorf("command %s: reported %s, next %s", uuids[k], uuid(out.Reported), uuid(out.Next))
		}
		return err
	}
}
