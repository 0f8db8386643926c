# alignaudit: `make study` ends with a report, `make test` runs the tests. Needs Python 3.11+ and make.

PYTHON ?= python3
VENV ?= .venv
SCHEDULES ?= sequential concurrent

BIN := $(VENV)/bin
PACKAGES := $(VENV)/.packages-installed
READY := $(VENV)/.alignaudit-installed
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# Several threads per process are slower than one on a busy machine; workers are processes.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help study test check setup clean python-is-recent

help:
	@echo "make study   set up, train the quickstart study, compare its schedules, write the report"
	@echo "make test    set up, run the tests"
	@echo "make check   set up, run ruff and mypy"
	@echo "make clean   remove the environment and caches; results in runs/ stay"

study: setup
	$(BIN)/alignaudit run-seeds
	$(BIN)/alignaudit compare --schedules $(SCHEDULES)
	@page=$$($(BIN)/alignaudit report --quiet --schedules $(SCHEDULES)) && echo "Report: $(CURDIR)/$$page"

test: setup
	$(BIN)/python -m pytest

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

setup: $(READY)

# Each step leaves a stamp behind, so that it happens once, and again when what it depends on changes.
$(PACKAGES): requirements.lock | python-is-recent
	@echo "Setting up $(VENV) (once; about a minute)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) --no-compile -r requirements.lock
	@touch $@

$(READY): $(PACKAGES) pyproject.toml
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

python-is-recent:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "alignaudit needs Python 3.11 or newer, and $(PYTHON) is not." \
	    "Name one that is: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }

clean:
	rm -rf $(VENV) build dist alignaudit.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
