module github.com/enrollkit/enrollkit/internal/e2e

go 1.26.0

replace github.com/enrollkit/enrollkit => ../..
