// Package e2e holds the heavy tests: identity providers of others, browsers,
// processes that are killed. It is a module of its own, so that no importer of
// enrollkit downloads or lists what only these tests need.
package e2e
