// Package storage holds what the storage adapters have in common.
package storage
