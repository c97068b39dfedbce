// Package memory keeps everything in the memory of one process: for tests,
// demonstrations and development. When the process ends, all is lost; every
// other promise of package storage is kept. It is also the plainest statement
// of the contract in code, for whoever writes another adapter.
package memory
