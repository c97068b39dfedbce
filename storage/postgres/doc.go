// Package postgres keeps everything in PostgreSQL.
package postgres
