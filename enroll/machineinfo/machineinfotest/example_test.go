package machineinfotest_test

import (
	"fmt"

	"github.com/enrollkit/enrollkit/enroll/machineinfo"
	"github.com/enrollkit/enrollkit/enroll/machineinfo/machineinfotest"
)

// A server under test believes the devices of a simulated CA that has ended, as
// Apple's has, and none of another one.
func Example() {
	ours, err := machineinfotest.NewSimulatedCA(machineinfotest.Config{Expired: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	other, err := machineinfotest.NewSimulatedCA(machineinfotest.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, ca := range []*machineinfotest.CA{ours, other} {
		device, err := ca.Device()
		if err != nil {
			fmt.Println(err)
			return
		}
		device.Shape = machineinfotest.Shape{BER: true, NoAttributes: true}
		body, err := device.Sign(machineinfo.Info{Product: "iPad14,1", Version: "22G86"})
		if err != nil {
			fmt.Println(err)
			return
		}
		_, err = machineinfo.Verify(body, ours.Anchor())
		fmt.Println(err)
	}
	// Output:
	// <nil>
	// machineinfo: not signed by a device of the anchor: cms: certificate is not trusted: not issued by the pinned device CA
}
