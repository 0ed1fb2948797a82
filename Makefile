# Every target sets up what it needs in .venv; nothing else has to be installed but Python >= 3.11.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
TESTS  ?= tests/unit tests/contract tests/architecture tests/integration tests/simulation tests/scenario
JOBS   ?= 2
RUNGS  := tools yaml helm schemas semantics alerts dashboard policy values workloads mutations
# The local endpoint pins another botocore, so it has an environment, and a lock, of its own.
# The image needs no local stack, so requirements.lock has none; a laptop's environment has both.
LOCAL    := services/pipeline_local/requirements.lock
ENDPOINT := services/pipeline_local/launcher/requirements.txt
SHELL  := /bin/bash

.DEFAULT_GOAL := help
.PHONY: help demo test check chart $(RUNGS:%=chart-%) image autoscaling bench browser lock setup setup-dev format lint types imports package clean

help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "; print "make TARGET\n"} /^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' Makefile

demo: setup ## Run the main job on the embedded stack, end to end, step by step
	$(BIN)/pipeline-processing demo

test: setup-dev ## Run every test (unit, contract, architecture, integration, simulation, scenario)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(TESTS)

check: setup-dev lint types imports package chart image ## Run all checks: ruff, mypy --strict, import-linter, the wheel, the chart, the image

lint: setup-dev ## Check style and formatting (ruff, all rules)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup-dev ## Check types (mypy --strict)
	$(BIN)/mypy

imports: setup-dev ## Check who imports whom (import-linter)
	$(BIN)/lint-imports --config pyproject.toml

package: setup-dev ## Build the wheel and check that it holds every package
	$(BIN)/python tests/architecture/wheel_contents.py

chart: setup-dev ## Check the chart as a cluster would: Helm, schemas, references, policy, alerts, dashboard, planted faults
	$(BIN)/python -m pytest -n $(JOBS) --dist load tests/chart

# One rung of that alone, as in `make chart-helm`.
$(RUNGS:%=chart-%): chart-%: setup-dev
	$(BIN)/python -m pytest tests/chart/test_$*.py

image: setup-dev ## Lint the Dockerfile and scripts, build the image, run it hardened; says so where no container can be run
	$(BIN)/python -m pytest tests/image

autoscaling: setup-dev ## Run the autoscaling study again, and draw docs/autoscaling.md's pictures
	$(BIN)/python -m tests.simulation

browser: ## Install Debian's Chromium, which one test draws a page with; where it can not be had that test is skipped
	@command -v chromium > /dev/null || { apt-get update && apt-get install --yes --no-install-recommends chromium; } > /dev/null 2>&1 \
	  || echo "no Chromium can be had here: the test that draws a page will be skipped"

bench: setup-dev ## Measure throughput and memory; prints a table (not a test)
	$(BIN)/python -m tests.bench

format: setup-dev ## Rewrite the code in the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: setup-dev ## Rewrite the hashed locks: the product's, its developers', and the local endpoint's
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
	  --extra db pyproject.toml --output-file requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
	  --extra db --extra local --constraint requirements.lock pyproject.toml --output-file $(LOCAL)
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
	  --all-extras --constraint $(LOCAL) pyproject.toml --output-file requirements-dev.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.13 --generate-hashes --no-emit-index-url --no-annotate --no-header \
	  docker/requirements-build.txt --output-file docker/requirements-build.lock
	echo checkov==3.3.30 | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-annotate --no-header - --output-file tests/chart/checkov.lock
	sed -n 's/ .*//; /^[A-Za-z]/p' $(ENDPOINT) | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-annotate --no-header - --output-file $(ENDPOINT)

setup: $(VENV)/.runtime ## Make .venv with what the product needs

setup-dev: $(VENV)/.dev ## Make .venv with what its developers need, too

# Debian's Python comes without ensurepip: then the machine's own pip fills the new environment.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: $(PYTHON) is older than Python 3.11 (set PYTHON=...)" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) 2>/dev/null || { $(PYTHON) -m venv --clear --without-pip $(VENV) && $(PYTHON) -m pip --python $(VENV)/bin/python install --quiet pip; }

$(VENV)/.runtime: $(LOCAL) pyproject.toml | $(VENV)/bin/python
	@echo "setting up $(VENV) (once)"
	@$(PIP) install --require-hashes -r $(LOCAL)
	@$(PIP) install --no-deps --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	@echo "setting up the developers' tools (once)"
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@

clean: ## Remove the environment, tools, caches and the local stack's data
	umount --recursive .tools/image/storage/overlay 2> /dev/null || true
	rm -rf $(VENV) .tools .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist build
