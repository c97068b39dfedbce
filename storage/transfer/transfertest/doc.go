// Package transfertest tells a vendor whether an adapter can be moved into and out
// of: whether it implements transfer.Source and transfer.Sink.
//
//	func TestTransfer(t *testing.T) {
//		transfertest.Run(t, transfertest.Adapter{Name: "vendor", Open: func(place string) (transfertest.Store, error) {
//			return vendor.Open(filepath.Join(place, "enroll.db"))
//		}})
//	}
//
// A fleet in every state that a store knows is told to a store and moved: to and
// from storage/memory, and to another store of the adapter. What the other one
// holds must be the same, secrets included, and whatever devices and people do
// then must be answered as the first store answers it. Imports are stopped
// everywhere and begun again; where the store keeps what it has, the process that
// imports is killed, for which the test binary is run again.
//
// Places are as in package storagetest.
package transfertest
