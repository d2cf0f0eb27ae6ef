# Every verb a contributor needs. `make demo` and `make test` set up what they need first.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
# More than cores, because tests also wait for processes and databases.
WORKERS ?= 3
# A file goes to one worker, files in the order of tests/conftest.py: the long ones first.
SHARED := --dist loadfile --no-loadscope-reorder
# Tests start hundreds of processes of this program: each compiles it again where an environment,
# as those of many containers, says that no bytecode is to be kept. Empty is unset for Python.
export PYTHONDONTWRITEBYTECODE :=

help:  ## Show the verbs.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

setup: $(STAMP)  ## Make .venv with everything in it; leaves .venv/bin/midspan.

demo: setup  ## Run the four integrations end to end; ARGS=--exit to stop after them.
	$(BIN)/midspan demo $(ARGS)

serve: setup  ## Run an instance that keeps its data in ./var.
	$(BIN)/midspan serve --data var $(ARGS)

test: setup  ## Run the test suite; ARGS is passed to pytest.
	$(if $(CI),$(MAKE) system-programs clients,)
	$(BIN)/pytest -n $(WORKERS) $(SHARED) $(ARGS)

test-system: setup system-programs clients  ## Install the Debian programs some tests need, and run all tests.
	CI=1 $(BIN)/pytest -n $(WORKERS) $(SHARED) $(ARGS)

system-programs:
	bash tests/system/install-programs.sh

clients: setup  ## Install the clients that tests/clients runs, into .clients.
	$(BIN)/python tests/clients/install.py

lint: setup  ## Check style, types and import contracts.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --config .importlinter

fix: setup  ## Format, and repair what the linter can.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

fuzz: setup  ## Send 100,000 hostile requests to an instance in process; ARGS='5000 --seed 7' for others.
	$(BIN)/python tests/fuzz/siege.py $(ARGS)

lock:  ## Renew requirements.lock from requirements.in; names no registry host.
	uv pip compile --python-version 3.11 --universal --generate-hashes --no-annotate --no-emit-index-url \
	  --no-emit-find-links --custom-compile-command "make lock" requirements.in -o requirements.lock

clients-lock:  ## Renew the locks of tests/clients from their .in files and package.json.
	cd tests/clients/locks && for name in python ansible build; do \
	  uv pip compile --python-version 3.11 --universal --generate-hashes --no-annotate --no-emit-index-url \
	    --no-emit-find-links --custom-compile-command "make clients-lock" $$name.in -o $$name.lock; done
	cd tests/clients/node && npm install --package-lock-only --omit-lockfile-registry-resolved --ignore-scripts

bench: setup  ## Measure against the limit of the same machine, in one run.
	$(BIN)/python benchmarks/run.py $(ARGS)

.PHONY: help setup demo serve test test-system system-programs clients clients-lock lint fix fuzz lock bench
