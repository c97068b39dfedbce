package transfer_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/storage/transfer"
)

var start = time.Date(2026, time.November, 24, 9, 0, 0, 123456000, time.UTC)

func id(name string) [32]byte { return sha256.Sum256([]byte(name)) }

func key(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

// sample has a record of every kind with every field, and one with as few as can be.
func sample() []transfer.Record {
	identities := []transfer.Identity{
		{Digest: id("certificate 1"), NotAfter: start.AddDate(1, 0, 0), Deadline: start.Add(20 * time.Minute), Replaced: true},
		{Digest: id("certificate 2"), NotAfter: start.AddDate(1, 0, 0), Deadline: start.Add(21 * time.Minute)},
	}
	if first, second := identities[0].Digest, identities[1].Digest; bytes.Compare(first[:], second[:]) > 0 {
		identities[0], identities[1] = identities[1], identities[0]
	}
	return []transfer.Record{
		&transfer.User{User: jit.User{
			ID: "u1", Issuer: "https://idp.example.com", Subject: "alice", DisplayName: "Ålice <\"&\\ \u2028 😀>", Groups: []string{"staff", ""},
			GroupsStale: true, ManagedAppleAccount: "alice@example.com", Suspended: true, Created: start, LastSignIn: start.Add(time.Hour),
		}},
		&transfer.User{User: jit.User{ID: "u2"}},
		&transfer.Suspension{UserID: "u1"},
		&transfer.Session{Session: enroll.Session{ID: id("session"), UserID: "u1", Ticket: "t1", Expires: start.Add(time.Hour)}},
		&transfer.WebSession{ID: id("web session"), Expires: start.Add(time.Hour)},
		&transfer.Ticket{
			Ticket: enroll.Ticket{
				ID: "t1", Ref: "7KQ2M9XC", UserID: "u1", Way: mdm.WayAccount, Ownership: enroll.OwnershipPersonal, State: enroll.TicketEnrolled,
				Session: id("session"), Issued: start, Downloads: 2, Downloaded: start.Add(time.Minute), Identified: start.Add(2 * time.Minute),
				Authenticated: start.Add(3 * time.Minute), Enrolled: start.Add(4 * time.Minute), Ended: start.Add(5 * time.Minute), EnrollmentID: "E1",
			},
			Challenges: []transfer.Challenge{
				{Digest: id("challenge 1"), Download: 1, Expires: start.Add(20 * time.Minute), Void: true},
				{Digest: id("challenge 2"), Download: 2, Expires: start.Add(21 * time.Minute), Redeemed: true, Key: id("key"), Certificate: []byte("\x30\x00der")},
			},
			Identities: identities,
		},
		&transfer.Ticket{Ticket: enroll.Ticket{ID: "t2", Way: mdm.WayProfile, State: enroll.TicketIssued}},
		&transfer.Enrollment{
			Enrollment: mdm.Enrollment{
				ID: "E1", UserID: "u1", TicketID: "t1", Way: mdm.WayAccount, State: mdm.StateEnrolled, Certificate: id("certificate 2"),
				Topic: "com.apple.mgmt.External.example", OSVersion: "17.6.1", BuildVersion: "21G93", Product: "iPhone15,2",
				Created: start, Enrolled: start.Add(time.Minute), Ended: start.Add(2 * time.Minute), Contact: start.Add(3 * time.Minute),
			},
			Token: []byte("\x00\xfftoken"), PushMagic: "magic", TokenStored: start.Add(time.Minute),
			Push: transfer.Push{Request: 7, Settled: 5, Due: start.Add(time.Hour), Fixed: true, Attempt: 2, Status: 503, Attempted: start},
		},
		&transfer.Grant{
			UserID: "u1", TicketID: "t1", EnrollmentID: "E1", Revoked: true, Redeemed: true,
			Code: &enroll.AuthorizationCode{Code: id("code"), ClientID: "client", RedirectURI: "apple:/", Expires: start.Add(time.Minute)},
			Generations: []transfer.Generation{
				{Tokens: enroll.Tokens{Access: id("access 1"), AccessExpires: start.Add(time.Hour), Refresh: id("refresh 1"), RefreshExpires: start.Add(9 * time.Hour)}, Used: true},
				{Tokens: enroll.Tokens{Access: id("access 2")}},
			},
		},
		&transfer.Grant{EnrollmentID: "E1", Generations: []transfer.Generation{{Tokens: enroll.Tokens{Access: id("access 3")}}}},
		&transfer.Command{
			Command: mdm.Command{
				UUID: "c1", EnrollmentID: "E1", RequestType: "DeviceInformation", Payload: []byte("<plist/>\x00"), Status: mdm.CommandNotNow,
				Result: []byte("\xff"), Queued: start, Updated: start.Add(time.Minute),
			},
			Held: true,
		},
		&transfer.Command{Command: mdm.Command{EnrollmentID: "E1", Status: mdm.CommandQueued}},
	}
}

// cursors number records.
func cursors(records []transfer.Record) []transfer.Entry {
	var list []transfer.Entry
	for i, r := range records {
		list = append(list, transfer.Entry{Record: r, Cursor: strconv.Itoa(i)})
	}
	return list
}

// write is a file of records whose name is always the same.
func write(t testing.TB, entries []transfer.Entry, keys ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := transfer.NewWriter(&b, transfer.WriteOptions{Keys: keys, Random: strings.NewReader("0123456789abcdef")})
	require.NoError(t, err)
	for _, e := range entries {
		require.NoError(t, w.Write(e))
	}
	require.NoError(t, w.Close())
	return b.Bytes()
}

// read is what a file has, and the error that ends it.
func read(b []byte, keys ...[]byte) ([]transfer.Entry, error) {
	r, err := transfer.NewReader(bytes.NewReader(b), transfer.ReadOptions{Keys: keys})
	if err != nil {
		return nil, err
	}
	var list []transfer.Entry
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return list, err
		}
		list = append(list, e)
	}
}

// source has the records of a list.
type source struct {
	records []transfer.Record
	// pages counts down to one that fails.
	pages int
}

var errPage = errors.New("no more pages")

func (s *source) ExportPage(ctx context.Context, kind transfer.Kind, after string, limit int) ([]transfer.Entry, error) {
	if s.pages--; s.pages == 0 {
		return nil, errPage
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	from := 0
	if after != "" {
		n, err := strconv.Atoi(after)
		if err != nil {
			return nil, err
		}
		from = n + 1
	}
	var list []transfer.Entry
	for i, r := range s.records {
		if i >= from && r.Kind() == kind && len(list) < limit {
			list = append(list, transfer.Entry{Record: r, Cursor: fmt.Sprint(i)})
		}
	}
	return list, nil
}

// sink keeps what it is given.
type sink struct {
	records []transfer.Record
	batches []int
}

func (s *sink) ImportBatch(_ context.Context, records []transfer.Record) (int, error) {
	s.records = append(s.records, records...)
	s.batches = append(s.batches, len(records))
	return len(records), nil
}
