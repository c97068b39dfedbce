package memory_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/storage/memory"
)

// One enrollment, step by step, as the portal, SCEP and MDM record it.
func Example() {
	ctx, s := context.Background(), memory.New()
	at := time.Date(2026, time.November, 24, 9, 0, 0, 0, time.UTC)
	challenge, key := sha256.Sum256([]byte("challenge")), sha256.Sum256([]byte("key"))
	der := []byte("the certificate in DER")
	certificate := sha256.Sum256(der)

	ticket := enroll.Ticket{ID: "t1", Ref: "7KQ2M9XC", UserID: "u1", Way: mdm.WayProfile, Ownership: enroll.OwnershipPersonal, Issued: at}
	must(s.IssueTicket(ctx, ticket, [32]byte{}))
	_, err := s.Download(ctx, enroll.DownloadStep{
		TicketID: "t1", Challenge: challenge, At: at,
		Clocks:       enroll.Clocks{Wait: 15 * time.Minute, Window: 8 * time.Minute, Grace: 12 * time.Minute},
		MaxDownloads: 10, MaxAge: time.Hour,
	})
	must(err)
	_, err = s.Identify(ctx, enroll.IdentifyStep{Challenge: challenge, Key: key, Certificate: der, Digest: certificate, At: at})
	must(err)
	_, err = s.Authenticate(ctx, mdm.AuthenticateStep{Certificate: certificate, EnrollmentID: "E1", Topic: "com.apple.mgmt.example", At: at})
	must(err)
	_, err = s.TokenUpdate(ctx, mdm.TokenUpdateStep{
		Certificate: certificate, EnrollmentID: "E1", Topic: "com.apple.mgmt.example", Token: []byte{1}, PushMagic: "magic", At: at,
		Planned: true, Plan: []mdm.Command{{UUID: "c1", RequestType: "DeviceInformation", Payload: []byte("…"), Queued: at}},
	})
	must(err)

	targets, err := s.ClaimPushes(ctx, at, time.Minute, 10)
	must(err)
	fmt.Println("to wake:", targets[0].EnrollmentID)
	idle, err := s.Exchange(ctx, mdm.ExchangeStep{Certificate: certificate, EnrollmentID: "E1", Idle: true, At: at})
	must(err)
	fmt.Println("to send:", idle.Next.RequestType)
	done, err := s.Exchange(ctx, mdm.ExchangeStep{
		Certificate: certificate, EnrollmentID: "E1", CommandUUID: "c1", Status: mdm.CommandAcknowledged, At: at,
	})
	must(err)
	fmt.Println("reported:", done.Reported.Status, "and nothing is left:", done.Next == nil)

	state, err := s.State(ctx)
	must(err)
	fmt.Println("ticket:", state.Tickets[0].State, state.Tickets[0].EnrollmentID)
	// Output:
	// to wake: E1
	// to send: DeviceInformation
	// reported: Acknowledged and nothing is left: true
	// ticket: enrolled E1
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
