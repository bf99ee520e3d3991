# Each target is a line or three; the work is elsewhere. `make` alone explains them.
.DEFAULT_GOAL := help
PY := .venv/bin/python
PIPELINES := .venv-pipelines/bin/python
# what was unpacked without root, for git to find
export PATH := $(PATH):$(CURDIR)/.cache/tools/debian/usr/bin

.PHONY: help
help: ## what there is
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.PHONY: setup
setup: ## install everything, pinned, into .venv and .cache; leaves .venv/bin/rollout
	@./setup.sh

.PHONY: demo
demo: setup ## the whole story on this machine: promoted, aborted, rolled back, by commits; leaves out/demo/report.html
	@./setup.sh pipelines
	@$(PY) -m lab demo

.PHONY: lab
lab: setup ## leave the lab running, with things to try
	@./setup.sh pipelines
	@$(PY) -m lab up

.PHONY: train
train: setup ## from rows (CREDIT_DATA=...) to a judged version, a published one, and a pull request's branch; leaves out/train/
	@./setup.sh pipelines
	@$(PIPELINES) -m pipelines seed credit
	@$(PIPELINES) -m pipelines train credit

.PHONY: test
test: setup ## every check and every test
	@$(PY) -m tests

.PHONY: e2e
e2e: setup ## the same against a real control plane: Argo CD on a Kubernetes API server, built once; leaves out/e2e/
	@./setup.sh pipelines
	@$(PY) -m tests.e2e

.PHONY: check
check: setup ## lint, types, import directions, coverage of the core, the repository's own releases
	@$(PY) -m tests.check

.PHONY: bench
bench: setup ## what a tick costs, at 100, 1 000 and 10 000 releases
	@$(PY) -m bench

.PHONY: bench-gate
bench-gate: setup ## how often the gate is wrong, beside the gates people use today; writes docs/gate.md's tables and picture
	@$(PY) -m bench.gate
