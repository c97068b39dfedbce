package command_test

import (
	"fmt"

	"github.com/enrollkit/enrollkit/mdm/command"
)

func ExampleEncode() {
	b, err := command.Encode("0F3C", command.DeviceInformation{Queries: []string{"OSVersion"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(b))
	// Output:
	// <?xml version="1.0" encoding="UTF-8"?>
	// <!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
	// <plist version="1.0">
	// 	<dict>
	// 		<key>Command</key>
	// 		<dict>
	// 			<key>Queries</key>
	// 			<array>
	// 				<string>OSVersion</string>
	// 			</array>
	// 			<key>RequestType</key>
	// 			<string>DeviceInformation</string>
	// 		</dict>
	// 		<key>CommandUUID</key>
	// 		<string>0F3C</string>
	// 	</dict>
	// </plist>
}
