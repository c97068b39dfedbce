package main

import (
	"sync"

	"github.com/enrollkit/enrollkit/mdm/mdmtest"
	"github.com/enrollkit/enrollkit/push/pushtest"
)

// phones are the simulated devices that the APNs stand-in can reach. A push for
// a phone that lives elsewhere is accepted and reaches nobody here.
type phones struct {
	mu   sync.Mutex // guards list
	list []*mdmtest.Phone
}

func (p *phones) add(phone *mdmtest.Phone) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = append(p.list, phone)
}

// deliver wakes the phone that a push is for.
func (p *phones) deliver(push pushtest.Push) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, phone := range p.list {
		phone.Wake(push.Token, push.Magic)
	}
}
