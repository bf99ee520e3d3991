//go:build tools

// Package actionlint names the linter of workflows.
package actionlint

import _ "github.com/rhysd/actionlint/cmd/actionlint"
