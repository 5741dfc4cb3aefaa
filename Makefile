# Lorary: `make help` lists what there is. Works with GNU make on Linux and macOS.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.lorary-stamp
DOCS_STAMP := $(VENV)/.lorary-docs-stamp
DEPLOY_STAMP := build/deploy-tools/.lorary-stamp
AUDIT_STAMP := $(VENV)/.lorary-audit-stamp
DATA := $(or $(LORARY_DATA),var)
PIP_FLAGS ?=
JOBS ?= 3
# Containers often set it. Each of the processes that tests start would compile every module again.
unexport PYTHONDONTWRITEBYTECODE
LOCK := $(BIN)/pip-compile --quiet --no-header --no-annotate --strip-extras \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options \
	--no-allow-unsafe --unsafe-package torch --unsafe-package triton --unsafe-package setuptools \
	--generate-hashes -c requirements/lock.constraints
# The locks are complete and have the hash of every file: nothing else is resolved or installed.
INSTALL = $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check $(PIP_FLAGS)
CODE := hub registry previews training sdk/src/lorary integrations tests tools benchmarks manage.py

.DEFAULT_GOAL := help
.PHONY: help setup run worker demo test test-fast test-long test-e2e test-matrix test-clients test-deploy check bench faults faults-machines miniature format openapi docs audit man lock clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Create .venv with everything, `lorary` in its bin (again when requirements change)

$(STAMP): $(wildcard requirements/*.txt) requirements/torch.in sdk/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 …")'
	@echo "Installing packages into $(VENV): this takes some minutes the first time."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) --no-deps --require-hashes -r requirements/dev.txt
	$(INSTALL) -r requirements/torch.in
	$(INSTALL) --no-deps --no-build-isolation -e sdk
	$(BIN)/python -m pip check
	@touch $@

run: $(STAMP) ## Start the hub at http://127.0.0.1:8000 (set-up, migrations, demo when needed)
	@test -e $(DATA)/demo.done || { $(MAKE) --no-print-directory demo && touch $(DATA)/demo.done; } \
		|| echo "The demo content could not be published; the hub starts without it."
	@exec $(BIN)/python manage.py up --migrate $(ARGS)

worker: $(STAMP) ## Start workers alone (a GPU box): ARGS="--queues render"
	@exec $(BIN)/python manage.py worker $(ARGS)

demo: $(STAMP) ## Publish the demo content (again); `make run` does it on the first start
	@$(BIN)/python manage.py migrate --verbosity 0
	@$(BIN)/python manage.py demo

test: $(STAMP) ## The test suite, three files at a time (JOBS=0: one by one, for --pdb)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder --durations=20 \
		-m "not long" $(ARGS)

test-fast: $(STAMP) ## A sample of the tests without browsers, services and other slow things
	LORARY_TEST_SAMPLE=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder \
		--ignore tests/clients --ignore tests/e2e --ignore tests/services \
		-m "not slow and not long and not e2e and not service and not gpu" $(ARGS)

test-long: $(STAMP) ## Only what `make test` leaves out: long tests, and all combinations of long lists
	LORARY_TEST_WHOLE=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder \
		-m long $(ARGS)

test-e2e: $(STAMP) ## Only the journeys in real processes and browsers
	$(BIN)/python -m pytest -m e2e $(ARGS)

test-matrix: $(STAMP) ## The suite on PostgreSQL, Redis and RabbitMQ, with a dated report
	$(BIN)/python -m tools.faults.matrix --report docs/reports $(ARGS)

test-clients: $(STAMP) ## Old and new versions of huggingface_hub against a hub, with a dated report
	$(BIN)/python -m tools.clients.matrix --report docs/reports $(ARGS)

test-deploy: $(STAMP) $(DEPLOY_STAMP) ## What deploy/ ships, by Compose, Helm, systemd and buildah (minutes, some GB)
	LORARY_TEST_DEPLOY=1 $(BIN)/python -m pytest tests/deploy $(ARGS)

$(DEPLOY_STAMP): requirements/deploy-tools.in
	@$(PYTHON) -m venv build/deploy-tools
	build/deploy-tools/bin/python -m pip install --quiet --no-compile --disable-pip-version-check \
		$(PIP_FLAGS) -r requirements/deploy-tools.in
	@touch $@

check: $(STAMP) ## Static checks: format, lint, types, imports, migrations, API document
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/djlint --check hub/templates
	$(BIN)/mypy $(wildcard $(CODE))
	$(BIN)/lint-imports
	$(BIN)/python manage.py makemigrations --check --dry-run
	$(BIN)/python manage.py check --fail-level ERROR
	$(BIN)/python manage.py spectacular --validate --fail-on-warn --file $(VENV)/openapi.yaml
	diff -u docs/openapi.yaml $(VENV)/openapi.yaml

bench: $(STAMP) ## Benchmarks, as ratios to a reference
	$(BIN)/python -m benchmarks $(ARGS)

miniature: $(STAMP) ## Make the miniature from scratch, in build/ (hours; resumes where it stopped)
	OMP_NUM_THREADS=1 $(BIN)/python -m training.miniature all --work build/miniature $(ARGS)

faults: $(STAMP) ## Break things on purpose, for half an hour: ARGS="--seed 1 --report docs/reports"
	$(BIN)/python -m tools.faults.renders $(ARGS)
	$(BIN)/python -m tools.faults.bytes $(ARGS)

faults-machines: $(STAMP) ## Three web nodes and a long queue, with kills and dated reports
	$(BIN)/python -m tools.faults.bytes --database postgres --broker rabbitmq --storage s3 \
		--only nodes --report docs/reports $(ARGS)
	$(BIN)/python -m tools.faults.bytes --database postgres --broker redis \
		--only long-queue --report docs/reports $(ARGS)

format: $(STAMP) ## Format code and templates, and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/djlint --reformat --quiet hub/templates

openapi: $(STAMP) ## Write docs/openapi.yaml from the code
	$(BIN)/python manage.py spectacular --validate --fail-on-warn --file docs/openapi.yaml

docs: $(DOCS_STAMP) ## The documentation as a site in build/docs, with the reference of the SDK
	$(BIN)/python -m mkdocs build --strict --quiet
	@echo "build/docs/index.html"

$(DOCS_STAMP): $(STAMP) requirements/docs.txt
	$(INSTALL) --no-deps --require-hashes -r requirements/docs.txt
	@touch $@

audit: $(AUDIT_STAMP) ## Known vulnerabilities of the locked packages, and an SBOM: build/sbom.cdx.json
	$(BIN)/python -m tools.audit

$(AUDIT_STAMP): $(STAMP) requirements/audit.txt
	$(INSTALL) --no-deps --require-hashes -r requirements/audit.txt
	@touch $@

man: $(STAMP) ## Write the man page of the client from the code
	$(BIN)/python -m tools.man_page

lock: $(STAMP) ## Lock requirements/*.in again; ARGS=--upgrade takes newer versions
	@for name in base worker otel dev docs audit; do \
		echo "requirements/$$name.txt"; \
		$(LOCK) $(ARGS) --output-file requirements/$$name.txt requirements/$$name.in && \
		sed -i.bak -e '/^#/d' -e '/^$$/d' requirements/$$name.txt && rm requirements/$$name.txt.bak \
		|| exit 1; \
	done

clean: ## Remove what tools left behind; the data of the hub stays
	rm -rf $(VENV) build dist sdk/build test-results htmlcov .coverage* \
		.mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
