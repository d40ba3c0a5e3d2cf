# Shortcuts; each is one line that can be typed as well. .ci/run is what must pass.
.PHONY: all build test race invariants lint fuzz-short demo ci

all: build lint test

build:
	go build ./...

test:
	go test ./...

race:
	go test -race ./...

invariants:
	go test -tags invariants ./...

lint:
	gofmt -l . && go vet ./... && go tool staticcheck ./... && go test ./internal/lint

# Every fuzz target for ten seconds.
fuzz-short:
	go test -list '^Fuzz' ./... | awk '/^Fuzz/ {f[++n]=$$1} /^ok/ {for (i=1;i<=n;i++) print $$2, f[i]; n=0}' | \
	while read -r pkg target; do go test -run '^$$' -fuzz "^$$target$$" -fuzztime 10s "$$pkg" || exit 1; done

demo:
	go run ./cmd/logq demo

ci:
	bash .ci/run
