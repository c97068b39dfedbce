package postgres

import (
	"context"
	_ "embed" // of the statement
	"slices"
	"time"

	"github.com/enrollkit/enrollkit/mdm"
)

//go:embed queries/exchange.sql
var exchangeSQL string

// The values of commands.place; a final command has none.
const placeHeld = int16(2) // answered NotNow in this session

// exchangeEnd reads what became of the commands that were picked. It fails with
// changedText when not all of them could be written.
const exchangeEnd = `SELECT ` + sentColumns + `,
	CAST(CASE WHEN cardinality(picked.all_of_them) <> (SELECT count(*) FROM written) THEN '` + changedText + `' ELSE '0' END AS integer),
	picked.reported IS NOT NULL, coalesce(r.uuid, ''), coalesce(r.request_type, ''), coalesce(r.status, ''), r.payload, r.result, r.queued, r.updated,
	picked.next IS NOT NULL, coalesce(n.uuid, ''), coalesce(n.request_type, ''), coalesce(n.status, ''), n.payload, n.result, n.queued, n.updated
FROM sent LEFT JOIN picked ON true LEFT JOIN written r ON r.seq = picked.reported LEFT JOIN written n ON n.seq = picked.next`

// Exchange implements mdm.Store.
func (s *Store) Exchange(ctx context.Context, x mdm.ExchangeStep) (mdm.Exchanged, error) {
	at := stamp(x.At)
	from := sender{x.Certificate, x.EnrollmentID, x.Device, x.Bearer, at}
	reports := []mdm.CommandStatus{mdm.CommandAcknowledged, mdm.CommandError, mdm.CommandFormatError, mdm.CommandNotNow}
	var place, retry any
	if x.Status == mdm.CommandNotNow {
		place = placeHeld
	} else if x.NotNowRetry > 0 {
		retry = stamp(at.Add(x.NotNowRetry))
	}
	values := append(from.values(),
		!x.Idle && slices.Contains(reports, x.Status), x.CommandUUID == "" && x.Status == mdm.CommandFormatError,
		x.CommandUUID, string(x.Status), place, x.Result, x.Idle, at.Truncate(24*time.Hour), retry)
	var reported, next found
	err := s.admit(ctx, from, func(t *tx) (d device, err error) {
		reported, next = found{}, found{}
		var unchanged int
		into := slices.Concat(sentFields(&d), []any{&unchanged}, reported.fields(), next.fields())
		d.known, err = t.get(senderSQL+exchangeSQL+exchangeEnd, values, into...)
		return d, err
	})
	if err != nil {
		return mdm.Exchanged{}, err
	}
	var out mdm.Exchanged
	if out.Reported, err = s.command(reported, x.EnrollmentID); err != nil {
		return mdm.Exchanged{}, err
	}
	if out.Next, err = s.command(next, x.EnrollmentID); err != nil {
		return mdm.Exchanged{}, err
	}
	return out, nil
}

// found is a command that was read, or none.
type found struct {
	is bool
	mdm.Command
}

func (f *found) fields() []any {
	return []any{&f.is, &f.UUID, &f.RequestType, &f.Status, &f.Payload, &f.Result, (*when)(&f.Queued), (*when)(&f.Updated)}
}

// command is a command of an enrollment as callers get it.
func (s *Store) command(f found, enrollmentID string) (_ *mdm.Command, err error) {
	if !f.is {
		return nil, nil
	}
	f.EnrollmentID = enrollmentID
	if f.Payload, err = s.secrets.Open(f.Payload, sealedPayload, enrollmentID, f.UUID); err != nil {
		return nil, err
	}
	return &f.Command, nil
}
