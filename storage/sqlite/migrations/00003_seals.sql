-- +goose Up
-- Tokens, magics and payloads are kept in a form of their own, which says whether
-- they are sealed. Those from before are not: 00 and the value.
UPDATE enrollments SET token = unhex('00' || hex(token)), magic = unhex('00' || hex(magic)) WHERE token IS NOT NULL;
UPDATE commands SET payload = unhex('00' || hex(ifnull(payload, x'')));

-- The keys that have sealed in this database, see package internal/seal.
CREATE TABLE seals (
	number INTEGER PRIMARY KEY,
	id     TEXT NOT NULL UNIQUE, -- of the key; empty: secrets as they are
	value  BLOB NOT NULL
) STRICT;
