# The verbs of this project; CI runs the same ones. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install lock check format test eval bench-quick bench docs demo clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## make .venv with the locked packages and newsbeam itself

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else f"newsbeam needs Python 3.11, 3.12 or 3.13, not {v[0]}.{v[1]}: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

lock: ## pin the newest allowed versions for all supported Pythons (needs uv)
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --group dev --no-header --no-emit-index-url pyproject.toml -o requirements.lock

check: $(STAMP) ## lint, types, generated docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pipelines.docs --check

format: $(STAMP) ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: $(STAMP) ## all tests but the evals and benchmarks
	$(BIN)/pytest -m "not eval and not bench"

eval: $(STAMP) ## quality on the open data, against floors that only rise
	$(BIN)/pytest -m eval -s

bench-quick: $(STAMP) ## cost ratios on a sample (under 3 minutes)
	$(BIN)/pytest -m bench -s --bench-sample

bench: $(STAMP) ## cost ratios on all the open data
	$(BIN)/pytest -m bench -s

docs: $(STAMP) ## write the generated pages in docs/
	$(BIN)/python -m pipelines.docs

demo: $(STAMP) ## run the whole job on the embedded sample newsroom, offline
	$(BIN)/newsbeam demo

clean: ## remove the environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
