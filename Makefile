# The verbs of this project; CI runs the same ones. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ENGINES := .engines
FLINK_JAR := $(ENGINES)/flink-job-server.jar
FLINK_LIBS := $(ENGINES)/flink-libs

.DEFAULT_GOAL := help
.PHONY: help install lock check format test fuzz eval test-engines bench-quick bench docs polling demo demo-stream deploy-tools prism flink-jar engines clean

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

test: $(STAMP) ## all tests but those of the engines, the evals and the benchmarks
	$(BIN)/pytest -m "not eval and not bench and not engines"

test-engines: $(STAMP) ## the streaming worker on Prism and on a Flink cluster (needs `make engines`)
	$(BIN)/pytest -m "engines and not bench" -s

fuzz: $(STAMP) ## 500,000 mutated feeds and 30,000 pages, new ones each day (FUZZ_FEEDS=n FUZZ_PAGES=n: as many as that)
	FUZZ_FEEDS=$(or $(FUZZ_FEEDS),500000) FUZZ_PAGES=$(or $(FUZZ_PAGES),30000) $(BIN)/pytest tests/fuzz -s

eval: $(STAMP) ## quality on the open data, against floors that only rise
	$(BIN)/pytest -m eval -s

bench-quick: $(STAMP) ## cost ratios on a sample (under 3 minutes)
	$(BIN)/pytest -m bench -s --bench-sample

bench: $(STAMP) ## cost ratios on all the open data
	$(BIN)/pytest -m bench -s

docs: $(STAMP) ## write the generated pages in docs/
	$(BIN)/python -m pipelines.docs
	$(BIN)/python -m tests.hostile.page

polling: $(STAMP) ## simulate a day of polling and write its table into docs/polling.md (some minutes)
	$(BIN)/python -m tests.polling.simulate

demo: $(STAMP) ## run the whole job on the embedded sample newsroom, offline
	$(BIN)/newsbeam demo

demo-stream: prism ## run the streaming worker on the sample newsroom until Ctrl-C (needs Go, once)
	$(BIN)/newsbeam demo --stream

engines: prism flink-jar ## both streaming engines, into .engines

# The version is that of the installed apache-beam, known only once it is installed: so a recipe that looks, not a file target.
prism: $(STAMP) ## build Prism, Beam's local streaming engine (needs Go)
	@version=$$($(BIN)/python -c 'from importlib.metadata import version; print(version("apache-beam"))') && \
	prism=$(ENGINES)/prism-$$version/prism && \
	if [ -x $$prism ]; then exit 0; fi && \
	if ! command -v go > /dev/null; then echo "Prism is built with Go, and there is none: install Go 1.26 or newer (https://go.dev/dl), or pass --prism PATH" >&2; exit 1; fi && \
	echo "building Prism $$version (one to two minutes)" && \
	GOBIN=$(CURDIR)/$$prism.part go install github.com/apache/beam/sdks/v2/go/cmd/prism@v$$version && \
	mv $$prism.part/prism $$prism && rm -r $$prism.part

flink-jar: $(FLINK_JAR) $(FLINK_LIBS)/.installed ## build the Flink job server and fetch Flink's jars (needs Java and Maven)

$(FLINK_JAR): deploy/flink/pom.xml
	@for tool in java mvn; do command -v $$tool > /dev/null || { echo "the Flink job server is built with Java and Maven, and there is no $$tool: install a JDK (11 or 17) and Maven 3.8 or newer" >&2; exit 1; }; done
	@echo "building the Flink job server (about a minute)"
	@mvn -q -B -f deploy/flink/pom.xml -Dbuild.folder=$(CURDIR)/$(ENGINES)/maven package
	@mv $(ENGINES)/maven/flink-job-server.jar $@ && rm -r $(ENGINES)/maven && touch $@

$(FLINK_LIBS)/.installed: deploy/flink/requirements.txt | $(STAMP)
	@rm -rf $(FLINK_LIBS)
	@echo "fetching Flink's jars (230 MB)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --no-build-isolation --no-compile --target $(FLINK_LIBS) -r deploy/flink/requirements.txt
	@touch $@

deploy-tools: $(ENGINES)/.deploy-tools ## what checks deploy/ (promtool from Debian's packages)

$(ENGINES)/.deploy-tools: deploy/checks/requirements.lock | $(STAMP)
	@mkdir -p $(ENGINES)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r deploy/checks/requirements.lock
	@command -v promtool > /dev/null || ( cd $(ENGINES) && apt-get download --quiet=2 prometheus && dpkg -x prometheus_*.deb prometheus && mv prometheus/usr/bin/promtool . && rm -r prometheus prometheus_*.deb )
	@touch $@

clean: ## remove the environment, the engines and caches
	rm -rf $(VENV) $(ENGINES) .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
