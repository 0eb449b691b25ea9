# Thin targets: each is one line over cargo or scripts/. Whatever a target needs, it installs inside the tree (target, .venv, .cache);
# what it cannot install it names, with the command that does.

.DEFAULT_GOAL := help
.PHONY: help demo test test-unit test-aws test-provision test-kubectl test-cluster cluster-up cluster-down fuzz lint mutants instructions bench build dist clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' Makefile | awk -F'|' '{ printf "make %-13s %s\n", $$1, $$2 }'

demo: ## the main job on this machine: no AWS account, no cluster
	@scripts/build-release > /dev/null && dist/iamgate demo

test: lint fuzz build ## every test there is, the process tests with the release binary
	@IAMGATE_BIN=$(CURDIR)/dist/iamgate $(MAKE) --no-print-directory test-unit test-aws test-provision test-kubectl test-cluster instructions

test-unit: ## Rust: unit tests, process tests, doc tests
	@scripts/tools rust && cargo test --locked

test-aws: ## the release binary with AWS's own tools, against local stand-ins
	@scripts/tools curl && scripts/pytest --ignore tests/aws/test_kubectl.py tests/aws

test-provision: ## the release binary provisions hosts that are directories; every file operation fails in turn (root)
	@scripts/tools strace && scripts/pytest tests/provision

test-kubectl: ## the release binary behind a real kube-apiserver, asked by a real kubectl
	@scripts/tools etcd && tests/cluster/binaries > /dev/null && scripts/pytest tests/aws/test_kubectl.py

test-cluster: ## the release binary in real control planes: kubelet, containerd, kube-apiserver, kubeadm's manifests (as root)
	@scripts/test-cluster

cluster-up: ## such a control plane to try things in, .cache/cluster; `tests/cluster/host enter cp0` is a shell there (as root)
	@tests/cluster/control-plane up cp0 && echo "cp0 is ready: tests/cluster/host enter cp0 kubectl get nodes"

cluster-down: ## and nothing of it is left
	@tests/cluster/host down

fuzz: ## the parsers, each by its corpus and 20 s of new inputs (FUZZ_SECONDS)
	@scripts/fuzz

lint: ## format, clippy, docs, licences and bans, shell scripts
	@scripts/lint

mutants: ## the core with one small change at a time: each must fail a test (half an hour; not part of `test`)
	@scripts/mutants

bench: ## what `token` and the server cost, beside their budgets, in one run
	@scripts/bench

instructions: ## how many instructions a review and `token` take, beside the committed counts
	@scripts/instructions

build: ## the static release binary, dist/iamgate
	@scripts/build-release

dist: ## the release archive with its checksum, in dist/
	@scripts/dist

clean: cluster-down ## remove all that was built, installed or cached in the tree
	@for bed in .cache/test-cluster*; do [ ! -d "$$bed" ] || CLUSTER_DIR=$$bed tests/cluster/host down; done
	@[ ! -d .cache ] || chmod -R u+w .cache  # Go makes its downloads read-only
	@rm -rf target dist .venv .cache
