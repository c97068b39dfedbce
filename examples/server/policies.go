package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/enrollkit/enrollkit/mdm/policy"
)

// extension is that of a profile's file.
const extension = ".mobileconfig"

// readPolicies reads what devices must have: *.mobileconfig in the directory are
// for everybody, those in a directory below it for the group of its name. What a
// file system does not allow in a name is written as in a URL: "a%2Fb". Files
// count in the order of their names, those for everybody first.
func readPolicies(dir string) ([]policy.Assignment, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	assignments, err := readGroup(dir, "")
	var bad []error
	if err != nil {
		bad = append(bad, err)
	}
	for _, e := range entries {
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		group, err := url.PathUnescape(e.Name())
		if err != nil {
			bad = append(bad, fmt.Errorf("%s is no name of a group: %w", filepath.Join(dir, e.Name()), err))
			continue
		}
		more, err := readGroup(filepath.Join(dir, e.Name()), group)
		if err != nil {
			bad = append(bad, err)
		}
		assignments = append(assignments, more...)
	}
	return assignments, errors.Join(bad...)
}

// readGroup reads the profiles of one directory.
func readGroup(dir, group string) ([]policy.Assignment, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var list []policy.Assignment
	var bad []error
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), extension)
		if !ok || name == "" || strings.HasPrefix(name, ".") {
			continue
		}
		b, err := readFile(filepath.Join(dir, e.Name()))
		if err != nil {
			bad = append(bad, err)
			continue
		}
		list = append(list, policy.Assignment{Group: group, Name: name, Profile: b})
	}
	return list, errors.Join(bad...)
}
