# Targets for people; `make help` lists them.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
ARCHES  := amd64 arm64 ppc64le s390x
FUZZTIME ?= 1m
SOAK ?= 1h

# What the tests of one package may take on a loaded machine.
TESTTIME ?= 30m

# Each row has the name of a plugin's binary, a colon, and the folder below
# plugins/ with its sources. Velero orders plugins by file name, so a binary has
# the name of the plugin that it replaces.
PLUGIN_FOLDERS := \
	velero-plugin-for-aws:aws \
	velero-plugin-for-microsoft-azure:azure \
	velero-plugins:openshift \
	kubevirt-velero-plugin:kubevirt

PLUGINS := $(foreach row,$(PLUGIN_FOLDERS),$(firstword $(subst :, ,$(row))))

# $(call source,velero-plugins) is ./plugins/openshift.
source = ./plugins/$(or $(patsubst $(1):%,%,$(filter $(1):%,$(PLUGIN_FOLDERS))),$(error PLUGIN_FOLDERS in the Makefile has no row for the binary $(1)))

# grpcnotrace leaves out a package that keeps the linker from dropping dead code.
GOBUILD = CGO_ENABLED=0 go build -tags grpcnotrace -trimpath -ldflags '-s -w -X main.version=$(VERSION)'

# The race detector needs a C compiler.
RACE := $(if $(shell command -v $${CC:-cc} 2>/dev/null),-race)

# The clouds whose stores make bench measures; test/bench/store/provider.go.
BENCH_PROVIDERS := aws

# Modules that stand apart, with their own dependencies.
MODULES := test/bench/store test/support/slowlink examples/vendor-filesystem sdk/velerocompat

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: $(PLUGINS:%=bin/%) ## build the plugins into bin/

.PHONY: FORCE
bin/%: FORCE
	@mkdir -p bin
	$(GOBUILD) -o $@ $(call source,$*)

.PHONY: dist
dist: ## build the plugins for all architectures into dist/
	@set -e; for arch in $(ARCHES); do \
		$(foreach p,$(PLUGINS),GOOS=linux GOARCH=$$arch $(GOBUILD) -o dist/linux-$$arch/$(p) $(call source,$(p));) \
		echo "dist/linux-$$arch"; \
	done

# The date of the images is that of the commit, so that the same sources give
# the same images.
.PHONY: images
images: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
images: dist ## build the images of the plugins, for all architectures, into dist/images/
	go run ./internal/imagebuild/cmd/images --version '$(VERSION)' --revision "$$(git rev-parse HEAD 2>/dev/null)" \
		--arch '$(ARCHES)' Dockerfile.*

.PHONY: demo
demo: build ## back up, lose and restore an application, with a real Velero server
	go run ./test/e2e/demo --plugins bin

.PHONY: test
test: build ## run all tests; builds the servers that they need
	go run ./test/stack/cmd/stack build
	cd test/bench/store && GOWORK=off go build -o /dev/null ./baseline/... # its modules; the tests build it without a network
	go test $(RACE) -timeout $(TESTTIME) $$(go list ./... | grep -v /test/)
	go test $(RACE) -timeout $(TESTTIME) -count=1 ./test/... # of built plugins, whose changes the test cache does not see
	cd sdk && go test $(RACE) -timeout $(TESTTIME) ./...
	@set -e; for m in $(MODULES); do echo "cd $$m && go test ./..."; (cd $$m && GOWORK=off go test ./...); done

.PHONY: bench
bench: build ## measure our plugins against plugins on Velero's own framework
	@set -e; for p in $(BENCH_PROVIDERS); do (cd test/bench/store && GOWORK=off go run . --provider $$p); done
	$(MAKE) bench-items
	$(MAKE) bench-images
	$(MAKE) bench-machines

.PHONY: bench-items
bench-items: build ## measure what velero-plugins adds to a backup and a restore of thousands of objects
	go run ./test/bench/items --plugins bin

.PHONY: bench-images
bench-images: build ## measure the copy of images to a bucket and back against the way of the plugin replaced
	go run ./test/bench/images --plugins bin

.PHONY: bench-machines
bench-machines: build ## measure what kubevirt-velero-plugin adds to a backup of 500 virtual machines
	go run ./test/bench/machines --plugins bin

.PHONY: huge
huge: build ## put an object of 60 GiB through the aws plugin, and measure
	cd test/bench/store && GOWORK=off go run . --huge 60GiB

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME
	@set -e; for module in . sdk $(MODULES); do (cd $$module; \
		case $$module in .|sdk) ;; *) export GOWORK=off;; esac; \
		for package in $$(go list ./...); do \
			for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
				echo "$$package $$target"; go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$package; \
			done; \
		done); \
	done

.PHONY: soak
soak: ## mixed traffic with random faults for SOAK; with SEED the choices of an earlier run
	go run ./test/stack/cmd/stack build
	go test -count=1 -v -timeout 0 -run '^TestSoak$$' ./test/faults -args -soak $(SOAK) -seed $(or $(SEED),0)

.PHONY: lint
lint: ## check formatting, vet, staticcheck, import directions and generated files
	go run ./internal/lint

.PHONY: generate
generate: ## write the generated code, the Dockerfiles and the generated parts of docs/
	go run ./internal/abigen
	go run ./internal/imagebuild/cmd/dockerfiles
	go run ./internal/docgen

.PHONY: stack-up
stack-up: build ## start a cluster, Velero and MinIO and keep them running
	go run ./test/stack/cmd/stack up --plugins bin

.PHONY: stack-down
stack-down: ## stop what stack-up started
	go run ./test/stack/cmd/stack down

.PHONY: clean
clean: ## remove what was built, but not the cached servers
	rm -rf bin dist
