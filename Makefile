# `make help` lists what there is. Needs only python3 >= 3.11 (with venv), git and make.

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; break; }; done)
BIN := .venv/bin
READY := .venv/.ready

.DEFAULT_GOAL := help
# The tests start Python by the thousand; without its bytecode on disk each would compile all of Quantum again.
unexport PYTHONDONTWRITEBYTECODE
.PHONY: help setup demo run test test-long verify smoke proto lock bench mac-report clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY)  ## make .venv with everything in it, exactly as locked (again: nothing to do)

demo: $(READY)  ## start everything in a temporary workspace, run real agents on this repository, shut down
	@$(BIN)/python -m examples.demo

run: $(READY)  ## keep this repository's own workspace running in the foreground (Ctrl-C ends it)
	@$(BIN)/quantum up

test: verify  ## what must be green before a commit (under 10 minutes)
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m "not long" --ignore=tests/repository

test-long: $(READY)  ## the long ring: kills by the hundred, 10,000-step state machines
	@$(BIN)/python -m pytest -m long

verify: $(READY)  ## style, types, import directions, protos, the repository's own rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/buf lint
	@$(BIN)/python -m pytest -q tests/repository

smoke: $(READY)  ## a quick look that this installation is whole; starts nothing
	@$(BIN)/python -m pytest tests/test_smoke.py --tb=short -q

proto: $(READY)  ## generate the stubs again from protos/
	@PYTHON=$(BIN)/python protos/generate.sh

LOCK := uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-annotate --custom-compile-command "make lock" --quiet

lock:  ## choose versions again for every platform (needs uv)
	@command -v uv >/dev/null || { echo "make lock needs uv: install it with  pipx install uv" >&2; exit 1; }
	@$(LOCK) --extra dev --output-file requirements-dev.txt
	@$(LOCK) --extra maintenance --constraints requirements-dev.txt --output-file requirements.txt

bench: $(READY)  ## measure against xargs, GNU parallel and raw SQLite; prints ratios
	@$(BIN)/python -m benchmarks

mac-report: $(READY)  ## on a Mac: try what was designed and not run; writes one file to send back
	@$(BIN)/python -m tests.mac_report

clean:  ## remove .venv and what checks leave behind; never a workspace's state
	@rm -rf .venv build dist htmlcov .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): requirements-dev.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "Quantum needs Python 3.11 or newer: install it with" \
		"'brew install python' (macOS) or 'sudo apt-get install python3 python3-venv' (Debian, Ubuntu)." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make virtual environments:" \
		"install the missing part with 'sudo apt-get install python3-venv'." >&2; exit 1; }
	@echo "Setting up .venv (once; about a minute)"
	@$(BIN)/python -c 'import math, pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		$(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(READY)
