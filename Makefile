# The tasks of this repository; `make` lists them. What is missing is set up on the way, in .venv and .run.

PYTHON ?= python3
PORT ?= 8080
PLUGINS := $(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml))
PROJECTS := pyproject.toml $(PLUGINS:%=%/pyproject.toml)
# With what makes a slide to look at and to test with.
EDITABLE := $(patsubst plugins/openslide,plugins/openslide[sample],$(PLUGINS))
# Reproducible builds: the time of the last commit (https://reproducible-builds.org/specs/source-date-epoch/).
EPOCH := $(shell git log -1 --format=%ct 2>/dev/null || echo 315532800)
PIP := .venv/bin/python -m pip --disable-pip-version-check
# Debian keeps nginx where ordinary users do not look.
export PATH := $(PATH):/usr/sbin:/usr/local/sbin
export PORT CANTALOUPE BENCH_FILES SOAK_MINUTES

.PHONY: help run test soak load bench lint wheels wheels-test packages clean
.DEFAULT_GOAL := help

help: ## List the tasks
	@echo 'make run [PORT=8080] [CANTALOUPE=http://host:port] [SIDECAR_FILESYSTEM_ROOT=/images] [SIDECAR_…=…]'; echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: .venv/.plain ## Start nginx and the sidecar with sample images; Ctrl-C stops both
	@.venv/bin/python examples/demo/demo.py

test: .venv/.dev ## Run all tests, real nginx and gunicorn included (ARGS='-k word' for some)
	.venv/bin/python -m pytest $(ARGS)

soak: .venv/.dev ## Watch memory under mixed load, drawn in .bench/soak.png (SOAK_MINUTES=10)
	.venv/bin/python -m tests.resilience.soak

load: .venv/.dev ## Ask for many whole images of 80 MP at once, against targets (BENCH_FILES=folder)
	.venv/bin/python -m tests.resilience.load

bench: .venv/.bench ## Measure, compare in one run and draw (ONLY=ac for parts, BENCH_LARGE=1 for a gigapixel too)
	.venv/bin/python -m tests.benchmarks $(if $(ONLY),--only $(ONLY))

lint: .venv/.dev ## Check style, types, the direction of imports, declared dependencies and spelling
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy sidecar plugins tests examples
	.venv/bin/lint-imports --no-logo
	.venv/bin/deptry --no-ansi .
	@for project in $(PLUGINS); do (cd $$project && ../../.venv/bin/deptry --no-ansi .) || exit 1; done
	.venv/bin/codespell

wheels: .venv/.dev ## Build the wheels of all distributions in dist/, the same bytes each time
	rm -rf dist
	SOURCE_DATE_EPOCH=$(EPOCH) $(PIP) wheel --quiet --no-deps --no-build-isolation --wheel-dir dist . $(PLUGINS:%=./%)
	@ls dist

wheels-test: wheels ## Install the wheels elsewhere, serve a picture, and run the examples through their contracts
	SOURCE_DATE_EPOCH=$(EPOCH) .venv/bin/python -m tests.packaging.wheels dist

packages: ## Install what is needed of the system, or say what it is
	@.ci/packages $(PYTHON)

clean: ## Remove everything that was set up
	rm -rf .venv .run .bench .mypy_cache .pytest_cache .ruff_cache .hypothesis

.venv/bin/python: | packages
	$(PYTHON) -m venv .venv

# The core and every plugin, editable, in one go: plugins need the core of this checkout. Again only when a
# pyproject.toml has changed. The test tools bring all that running takes.
.venv/.plain: $(PROJECTS) | packages .venv/bin/python
	$(PIP) install --editable . $(EDITABLE:%=--editable './%')
	@touch $@

.venv/.dev: $(PROJECTS) | packages .venv/bin/python
	$(PIP) install --editable '.[dev]' $(EDITABLE:%=--editable './%')
	@touch $@ .venv/.plain

.venv/.bench: $(PROJECTS) | packages .venv/bin/python
	$(PIP) install --editable '.[dev,bench]' $(EDITABLE:%=--editable './%')
	@touch $@ .venv/.dev .venv/.plain
