// Package bench measures the story of an enrollment on storage in memory and in
// SQLite, and the hot path on PostgreSQL, each step beside the floor that it
// stands on. It has benchmarks only:
//
//	go test -run '^$' -bench . ./internal/bench
package bench
