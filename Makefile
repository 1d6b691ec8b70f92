# Every command of this repository. `make help` lists them.
# PYTHON chooses the interpreter that makes .venv; DATA_DIR chooses where `make run` keeps its data;
# MINUTES, how long `make soak` takes.

PYTHON ?=
DATA_DIR ?= var/demo
MINUTES ?= 30
VENV := .venv
BIN := $(VENV)/bin
CLIENTS := .venv-clients
PARTS := .venv-parts
SCANNERS := .venv-scanners
NODE := tests/parts/node
# The pins also hold for what builds the package: older pip reads the first name, newer pip the second.
PIP := PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt \
	$(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup setup-dev setup-clients setup-parts setup-scanners run test check format-check lint types contracts fast-tests format bench bench-peers soak docs lock clean

help: ## list every target
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.setup ## make .venv with the `atalaia` command in it
	@:

setup-dev: $(VENV)/.setup-dev ## the same, with what tests and checks need
	@:

setup-clients: $(CLIENTS)/.setup ## the clients of KServe and Triton, which some tests speak through
	@:

setup-parts: $(PARTS)/.setup $(NODE)/node_modules/.setup ## real parts that tests start: PostgreSQL, RabbitMQ, S3 ...
	@:

setup-scanners: $(SCANNERS)/.setup ## programs that look for weaknesses: bandit, semgrep, schemathesis
	@:

run: setup ## start Atalaia on the sample data and keep serving
	$(BIN)/atalaia demo --data-dir $(DATA_DIR)

test: setup-dev setup-parts setup-scanners ## run every test, with coverage of src (at least 90 %)
	@rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest -n 2 --dist loadfile --no-loadscope-reorder
	@$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

check: setup-dev ## format, lint, types, contracts and fast tests, in parallel
	@$(MAKE) --no-print-directory --keep-going --jobs=4 --output-sync=target \
		format-check lint contracts types fast-tests \
		&& echo "check: all passed" \
		|| { echo "check: failed; the lines that begin with 'make' and end with 'Error' name the parts"; exit 1; }

format-check: setup-dev ## is every file formatted?
	$(BIN)/ruff format --check --quiet .

lint: setup-dev ## ruff
	$(BIN)/ruff check --quiet .

types: setup-dev ## basedpyright, strict
	$(BIN)/basedpyright

contracts: setup-dev ## import-linter: the floors and rooms of the house
	$(BIN)/lint-imports

fast-tests: setup-dev ## the tests that are not marked slow
	$(BIN)/python -m pytest -q -n 2 -m "not slow"

format: setup-dev ## format every file and sort its imports
	$(BIN)/ruff check --quiet --fix-only .
	$(BIN)/ruff format .

bench: setup-dev ## run the benchmarks that need no peers, write bench/results/*.json
	$(BIN)/python -m bench

bench-peers: setup-dev ## those beside other servers and stores, which are installed (wrk, PostgreSQL, var/)
	@sh scripts/install_missing.sh wrk initdb=postgresql
	$(BIN)/python -m bench.peers

soak: setup-dev setup-parts ## run a site under load for MINUTES while its parts fail, write bench/results/production.json
	$(BIN)/python -m bench.soak --minutes $(MINUTES)

docs: setup-dev ## write docs/reference anew from the code
	$(BIN)/python -m scripts.generate_reference

lock: setup-dev ## write constraints.txt anew from what .venv holds
	$(BIN)/python scripts/lock.py

clean: ## remove .venv, caches and build outputs (not var/)
	rm -rf $(VENV) $(CLIENTS) $(PARTS) $(SCANNERS) $(NODE)/node_modules build dist htmlcov .coverage .coverage.* .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@PYTHON="$(PYTHON)" sh scripts/make_venv.sh $(VENV)

$(VENV)/.setup: pyproject.toml constraints.txt | $(BIN)/python
	@echo "setup: installing atalaia into $(VENV)"
	@$(PIP) install -c constraints.txt -e .
	@touch $@

$(VENV)/.setup-dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "setup-dev: installing atalaia and its development tools into $(VENV)"
	@sh scripts/install_missing.sh curl git prometheus
	@$(PIP) install -c constraints.txt -e ".[dev]"
	@touch $(VENV)/.setup $@

$(CLIENTS)/.setup: tests/journeys/clients/requirements.txt | $(BIN)/python
	@echo "setup-clients: installing the clients of KServe and Triton into $(CLIENTS)"
	@rm -rf $(CLIENTS)
	@$(BIN)/python -m venv $(CLIENTS)
	@$(CLIENTS)/bin/python -m pip --disable-pip-version-check --quiet install -r $<
	@touch $@

$(PARTS)/.setup: tests/parts/requirements.txt | $(BIN)/python
	@echo "setup-parts: installing servers that tests start into $(PARTS)"
	@sh scripts/install_missing.sh initdb=postgresql pgbouncer redis-server rabbitmqctl=rabbitmq-server \
		prometheus-alertmanager ip=iproute2 faketime
	@rm -rf $(PARTS)
	@$(BIN)/python -m venv $(PARTS)
	@$(PARTS)/bin/python -m pip --disable-pip-version-check --quiet install -r $<
	@touch $@

$(SCANNERS)/.setup: tests/parts/scanners.txt | $(BIN)/python
	@echo "setup-scanners: installing programs that look for weaknesses into $(SCANNERS)"
	@rm -rf $(SCANNERS)
	@$(BIN)/python -m venv $(SCANNERS)
	@$(SCANNERS)/bin/python -m pip --disable-pip-version-check --quiet install -r $<
	@touch $@

$(NODE)/node_modules/.setup: $(NODE)/package.json $(NODE)/package-lock.json
	@echo "setup-parts: installing servers from npm into $(NODE)"
	@sh scripts/install_missing.sh npm
	@npm --prefix $(NODE) ci --no-audit --no-fund --silent
	@touch $@
