package main

import (
	"bytes"
	"crypto/sha256"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

const schema = `
title: Some Command
payload:
  requesttype: Some
  supportedOS:
    iOS: {introduced: '4.0', accessrights: AllowSettings, userenrollment: {mode: allowed}}
payloadkeys:
- {key: Plain, type: <string>, presence: required, content: prose}
- {key: Mac, type: <string>, presence: required, supportedOS: {iOS: {introduced: n/a}}}
- {key: Hidden, type: <integer>, presence: required, rangelist: [1, 2], supportedOS: {iOS: {introduced: '9.0', userenrollment: {mode: forbidden}}}}
- {key: Gone, type: <string>, supportedOS: {iOS: {removed: '18.0', supervised: true, userenrollment: {mode: ignored}}}}
- {key: ID, type: <string>, presence: optional, format: '^a+$', supportedOS: {iOS: {userenrollment: {mode: required}}}}
- {key: Prose, type: <string>, format: a number in prose}
- key: Outer
  type: <dictionary>
  presence: required
  supportedOS: {iOS: {userenrollment: {mode: forbidden}}}
  subkeys:
  - {key: Inner, type: <boolean>, presence: required}
  - {key: ANY name, type: <any>}
- key: Folders
  type: <array>
  subkeys: &folders
  - key: Folder
    type: <dictionary>
    subkeys:
    - {key: Folders, type: <array>, subkeys: *folders}
responsekeys:
- {key: Answer, type: <data>, presence: required}
`

func read(t *testing.T, name string, answer, open bool, files map[string]string) ([]node, error) {
	t.Helper()
	dir := t.TempDir()
	for file, content := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600))
	}
	return table{name: name, files: []string{"*.yaml"}, answer: answer, open: open}.read(dir, sha256.New())
}

func TestReadWhatIOSHas(t *testing.T) {
	nodes, err := read(t, "any", false, false, map[string]string{"a.yaml": schema})
	require.NoError(t, err)
	since := func(r rule) rule {
		if r.Since == "" {
			r.Since = "4.0"
		}
		return r
	}
	require.Equal(t, []node{{name: "Some", rule: since(rule{Right: 2048}), keys: []node{
		{name: "Plain", rule: since(rule{User: "Required", Device: "Required", Type: "string"})},
		{name: "Hidden", rule: rule{User: "Forbidden", Device: "Required", Type: "integer", Since: "9.0"}, values: []any{1, 2}},
		{name: "Gone", rule: since(rule{User: "Ignored", Supervised: true, Type: "string", Until: "18.0"})},
		{name: "ID", rule: since(rule{User: "Required", Type: "string", Pattern: "^a+$"})},
		{name: "Prose", rule: since(rule{Type: "string"})},
		{name: "Outer", rule: since(rule{User: "Forbidden", Device: "Required", Type: "dictionary"}), keys: []node{
			{name: "Inner", rule: since(rule{User: "Forbidden", Device: "Required", Type: "boolean"})},
			{name: "ANY", rule: since(rule{User: "Forbidden", Type: "any"})},
		}},
		{name: "Folders", rule: since(rule{Type: "array"}), keys: []node{
			{name: "Folder", rule: since(rule{Type: "dictionary"}), keys: []node{
				{name: "Folders", rule: since(rule{Type: "array"}), keys: []node{{name: "ANY", rule: rule{Type: "any"}}}},
			}},
		}},
	}}}, nodes)

	var code bytes.Buffer
	nodes[0].keys[1].write(&code)
	require.Equal(t, `{name: "Hidden", rule: Rule{User: Forbidden, Device: Required, Type: "integer", Since: "9.0"}, values: []string{"1", "2", }},`+"\n", code.String())

	answers, err := read(t, "any", true, false, map[string]string{"a.yaml": schema})
	require.NoError(t, err)
	require.Equal(t, "Answer", answers[0].keys[0].name)
}

func TestSilenceAboutUserEnrollment(t *testing.T) {
	silent := map[string]string{"a.yaml": "payload: {requesttype: A, supportedOS: {iOS: {introduced: '4.0'}}}"}
	for open, want := range map[bool]string{false: "Forbidden", true: ""} {
		nodes, err := read(t, "any", false, open, silent)
		require.NoError(t, err)
		require.Equal(t, want, nodes[0].rule.User)
	}
	for what, user := range map[string]string{"[supervised, device]": "Forbidden", "[device, user]": ""} {
		nodes, err := read(t, "any", false, true, map[string]string{"a.yaml": "payload: {declarationtype: A, supportedOS: {iOS: {allowed-enrollments: " + what + "}}}"})
		require.NoError(t, err)
		require.Equal(t, user, nodes[0].rule.User)
		require.Empty(t, nodes[0].rule.Device)
	}
}

func TestReadRefusesWhatItDoesNotUnderstand(t *testing.T) {
	one := "payload: {requesttype: A, supportedOS: {iOS: {introduced: '4.0'}}}"
	for name, files := range map[string]map[string]string{
		"no files":        {},
		"no YAML":         {"a.yaml": "\t"},
		"unknown right":   {"a.yaml": "payload: {requesttype: A, supportedOS: {iOS: {accessrights: AllowAll}}}"},
		"unknown mode":    {"a.yaml": one + "\npayloadkeys: [{key: K, supportedOS: {iOS: {userenrollment: {mode: perhaps}}}}]"},
		"nameless":        {"a.yaml": "payload: {supportedOS: {iOS: {introduced: '4.0'}}}"},
		"the same twice":  {"a.yaml": one, "b.yaml": one},
		"key of no shape": {"a.yaml": one + "\npayloadkeys: [{key: [1]}]"},
	} {
		t.Run(name, func(t *testing.T) {
			nodes, err := read(t, "any", false, false, files)
			require.Error(t, err)
			require.Nil(t, nodes)
		})
	}
}

func TestACorrectionThatCorrectsNothingIsNamed(t *testing.T) {
	used = map[int]bool{}
	n := node{name: "com.apple.mdm", keys: []node{{name: "AccessRights"}}}
	correct("payloads", &n)
	require.Equal(t, "Forbidden", n.keys[0].rule.User)
	require.Contains(t, unused(), "others ESSO")
	require.NotContains(t, unused(), "payloads com.apple.mdm")
	for _, c := range corrections {
		require.NotEmpty(t, c.reason)
	}
}
