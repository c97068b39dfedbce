package machineinfo_test

import (
	"fmt"

	"github.com/enrollkit/enrollkit/enroll/machineinfo"
	"github.com/enrollkit/enrollkit/enroll/machineinfo/machineinfotest"
)

func ExampleVerify() {
	// In a test; a server reads the PEM of Apple's device CA by ParseAnchor.
	ca, err := machineinfotest.NewSimulatedCA(machineinfotest.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	phone, err := ca.Device()
	if err != nil {
		fmt.Println(err)
		return
	}
	body, err := phone.Sign(machineinfo.Info{Product: "iPhone17,2", Version: "23B85", OSVersion: "26.1"})
	if err != nil {
		fmt.Println(err)
		return
	}

	info, err := machineinfo.Verify(body, ca.Anchor())
	os, _ := info.OS()
	fmt.Println(info.Family(), os, os.Before(18, 0), err)

	_, err = machineinfo.Verify([]byte("<plist/>"), ca.Anchor())
	fmt.Println(machineinfo.Status(err))
	// Output:
	// iPhone 26.1 false <nil>
	// 400
}
