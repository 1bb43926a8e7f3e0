# Everything a person or a CI job does with Plumbline. Each target sets up what it needs from nothing but
# Python 3.11, git, make, Terraform, Go and the package registries.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
# The requirements are complete: there is nothing to resolve. Modules are compiled when they are first imported: most
# of a package never is.
PIP := $(PY) -m pip install -qq --no-deps --no-compile --disable-pip-version-check
# Two processes, in the order of the folders: what takes longest first, and what is small fills the end.
PYTEST_SIDE_BY_SIDE := -n 2 --dist loadfile --no-loadscope-reorder
# The tools' own variables point at another Prefect or another cloud as often as not: the sandbox sets its own.
unexport PREFECT_API_URL PREFECT_PROFILE KUBECONFIG VIRTUAL_ENV
# Every flow run is a process of its own: modules are compiled once, not at each start.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help up down clean check programs test test-quick coverage bench bench-drift bench-fleet lock lock-charts

help: ## what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: $(VENV)/.runtime ## the sandbox cloud, Prefect with its UI, a worker, and environment dev
	@$(PY) -m deployments.up

down: $(VENV)/.runtime ## stop all of it; state is kept
	@$(PY) -m deployments.down

clean: $(VENV)/.runtime ## stop all of it and forget all state
	@$(PY) -m deployments.down --forget

check: $(VENV)/.dev ## lint, types, layers
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy flows tasks infra deployments
	@$(VENV)/bin/lint-imports

programs: $(VENV)/.runtime ## upstream's programs and OpenStack into the user's cache, once for each version
	@$(PY) -m deployments.sandbox install

test: $(VENV)/.dev programs ## every test
	@$(PY) -m pytest $(PYTEST_SIDE_BY_SIDE) --durations=15

coverage: $(VENV)/.dev programs ## how much of infra/ and tasks/ is tested, by tests that need no whole platform: at least 90 %
	@$(PY) -m pytest tests/unit $(PYTEST_SIDE_BY_SIDE) -q --cov --cov-report=term

test-quick: $(VENV)/.dev ## the tests that need nothing running, but for the few that take more than a second
	@$(PY) -m pytest tests/unit -q $(PYTEST_SIDE_BY_SIDE) -m "not thorough"

bench: $(VENV)/.dev ## what creating an environment, looking for drift and sweeping a fleet cost
	@$(PY) -m deployments.bench
	@$(PY) -m deployments.bench_drift
	@$(PY) -m deployments.bench_fleet

bench-drift: $(VENV)/.dev ## what looking for drift costs, beside kubectl diff
	@$(PY) -m deployments.bench_drift

bench-fleet: $(VENV)/.dev ## what sweeping a hundred recorded environments costs, and how much of it is Prefect's
	@$(PY) -m deployments.bench_fleet

lock: $(VENV)/.dev ## resolve the requirements anew
	@for file in requirements requirements-dev deployments/sandbox/requirements; do \
	  $(PY) -m uv pip compile -q --upgrade --python-version 3.11 --custom-compile-command "make lock" -o $$file.txt $$file.in; done

lock-charts: $(VENV)/.runtime ## record the digest of every chart that can be fetched
	@$(PY) -m infra.catalog lock

$(VENV)/bin/python:
	@$(PYTHON) deployments/prerequisites.py
	@# The longest piece of work begins first and runs beside the rest; whoever needs what it builds waits for it.
	@$(PYTHON) -m deployments.sandbox.upstream build >/dev/null 2>&1 &
	@echo "Making $(VENV) …"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements.txt | $(VENV)/bin/python
	@echo "Installing what Plumbline needs (about a minute) …"
	@$(PIP) -r requirements.txt
	@touch $@

$(VENV)/.dev: requirements-dev.txt requirements.txt | $(VENV)/bin/python
	@echo "Installing what checks and tests need …"
	@$(PIP) -r requirements-dev.txt
	@touch $@ $(VENV)/.runtime
