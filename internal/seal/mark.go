package seal

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"strings"
)

// Mark is what a database keeps of a key that has sealed in it, so that a wrong
// key is found out when the database is opened and not at its first secret.
type Mark struct {
	// Number counts the marks of a database up from 1. It makes adding one safe
	// when several processes start at once.
	Number int
	// ID names the key; it is empty for secrets stored as they are.
	ID string
	// Value is what the key made of a text that is known.
	Value []byte
}

const (
	markColumn = "seals.value"
	markText   = "enrollkit"
)

// Marks are the marks of a database.
type Marks interface {
	// List returns all marks.
	List(ctx context.Context) ([]Mark, error)
	// Add adds a mark. When there is one with this Number already, it does
	// nothing.
	Add(ctx context.Context, m Mark) error
}

// Admit compares the ring with the marks of a database and adds the one of its
// first key. It fails with ErrKey, and adds nothing, when the database has
// secrets that the ring does not open, and when it has secrets that are not
// sealed although there are keys, unless unsealed allows them.
func (r *Ring) Admit(ctx context.Context, in Marks, unsealed bool) error {
	for {
		marks, err := in.List(ctx)
		if err != nil {
			return fmt.Errorf("seal: %w", err)
		}
		next, known := 1, false
		for _, m := range marks {
			if err := r.check(m, unsealed); err != nil {
				return err
			}
			next = max(next, m.Number+1)
			known = known || m.ID == r.ID()
		}
		if known {
			return nil
		}
		own := Mark{Number: next, ID: r.ID()}
		if own.Value, err = r.Seal([]byte(markText), markColumn, own.ID); err != nil {
			return err
		}
		// Another process may have come first: look again.
		if err := in.Add(ctx, own); err != nil {
			return fmt.Errorf("seal: %w", err)
		}
	}
}

// check fails when the values under a mark cannot be opened.
func (r *Ring) check(m Mark, unsealed bool) error {
	switch {
	case m.ID == "" && len(r.keys) > 0 && !unsealed:
		return fmt.Errorf("%w: secrets were stored in it before there was a key: allow unsealed ones until they are sealed", ErrKey)
	case m.ID == "":
		r.plain = true
		return nil
	case len(r.keys) == 0:
		return fmt.Errorf("%w: it is sealed with key %s, and no key is given", ErrKey, m.ID)
	}
	id, err := hex.DecodeString(m.ID)
	if err != nil || r.find(id) == nil {
		return fmt.Errorf("%w: it is sealed with key %s, and the keys given are %s", ErrKey, m.ID, r.ids())
	}
	secret, err := r.Open(m.Value, markColumn, m.ID)
	if err != nil {
		return err
	}
	if !bytes.Equal(secret, []byte(markText)) {
		return fmt.Errorf("%s of key %s: %w", markColumn, m.ID, ErrValue)
	}
	return nil
}

func (r *Ring) ids() string {
	var list []string
	for _, k := range r.keys {
		list = append(list, hex.EncodeToString(k.id[:]))
	}
	return strings.Join(list, ", ")
}
