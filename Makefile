# The tasks of this repository; `make` lists them. What is missing is set up on the way, in .venv and .run.

PYTHON ?= python3
PORT ?= 8080
PLUGINS := $(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml))
PROJECTS := pyproject.toml $(PLUGINS:%=%/pyproject.toml)
# Reproducible builds: the time of the last commit (https://reproducible-builds.org/specs/source-date-epoch/).
EPOCH := $(shell git log -1 --format=%ct 2>/dev/null || echo 315532800)
PIP := .venv/bin/python -m pip --disable-pip-version-check
# Debian keeps nginx where ordinary users do not look.
export PATH := $(PATH):/usr/sbin:/usr/local/sbin
export PORT CANTALOUPE BENCH_FILES BENCH_LARGE SOAK_MINUTES
FUZZ_MINUTES ?= 10

.PHONY: help fresh run test soak load fuzz attack bench bench-peers lint lock audit arm64 arm64-tests wheels wheels-test packages more-packages otelcol clouds kube clean
.DEFAULT_GOAL := help

help: ## List the tasks
	@echo 'make run [PORT=8080] [CANTALOUPE=http://host:port] [SIDECAR_FILESYSTEM_ROOT=/images] [SIDECAR_…=…]'; echo
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: .venv/.plain ## Start nginx and the sidecar with sample images; Ctrl-C stops both
	@.venv/bin/python examples/demo/demo.py

test: .venv/.dev ## Run all tests, real nginx and gunicorn included (ARGS='-k word' for some)
	.venv/bin/python -m pytest -n auto --maxprocesses 4 $(ARGS)

soak: .venv/.dev ## Watch memory under mixed load, drawn in .bench/soak.png (SOAK_MINUTES=10)
	.venv/bin/python -m tests.resilience.soak

load: .venv/.dev ## Ask for many whole images of 80 MP at once, against targets (BENCH_FILES=folder)
	.venv/bin/python -m tests.resilience.load

fuzz: .venv/.dev ## Look for inputs that surprise a parser or a native library (FUZZ_MINUTES=10, KEEP=1 to keep them)
	.venv/bin/python -m tests.fuzz --minutes $(FUZZ_MINUTES) $(if $(ONLY),--only $(ONLY)) $(if $(KEEP),--keep)

attack: .venv/.dev ## Attack a real site on this machine, and write the table of docs/attacks.md (ONLY=words for some)
	.venv/bin/python -m tests.resilience.attack $(if $(ONLY),--only '$(ONLY)')

bench: .venv/.dev ## Measure, compare in one run and draw (ONLY=ac for parts, BENCH_LARGE=1 for a gigapixel too)
	.venv/bin/python -m tests.benchmarks $(if $(ONLY),--only $(ONLY))

otelcol: ## Build a collector of OpenTelemetry, with which `make test` then tests what is exported (needs Go)
	cd tests/nginx/otelcol && go build -trimpath -ldflags '-s -w' -o ../../../.run/otelcol .

# Versions are those that the tests were written against; npm and Go check the hashes that their registries state.
clouds: ## Install emulators of Azure and Google Cloud Storage, with which `make test` then tests the sources (needs npm and Go)
	npm install --silent --no-fund --no-audit --prefix .run/azurite azurite@3.35.0
	GOBIN=$(CURDIR)/.run go install -trimpath -ldflags '-s -w' github.com/fsouza/fake-gcs-server@v1.56.1

kube: .venv/.dev ## Build Helm and kubeconform, with which `make test` then checks the chart (needs Go)
	cd tests/unit/deploy/kubernetes && go build -trimpath -ldflags '-s -w' -o ../../../../.run/ tool
	.venv/bin/python -m tests.unit.deploy.kubernetes_schemas .run/schemas

bench-peers: .venv/.dev .bench/peers/large-image/.ready .bench/peers/iipsrv/.ready ## Compare with other servers (ONLY='words', ROUNDS=3, CANTALOUPE=…)
	.venv/bin/python -m tests.benchmarks.peers $(if $(ONLY),--only '$(ONLY)') $(if $(ROUNDS),--rounds $(ROUNDS))

# What is compared with is no part of the project: it stands in folders of its own, and in no lock file. Without it the
# comparison says what is missing, and goes on.
.bench/peers/large-image/.ready:
	@mkdir -p $(@D)
	@$(PYTHON) -m venv $(@D) && $(@D)/bin/python -m pip --disable-pip-version-check --quiet install \
	    large-image large-image-source-openslide large-image-source-tiff openslide-bin gunicorn \
	    || { rm -rf $(@D); echo 'large_image cannot be installed; it takes no part' >&2; exit 0; }
	@[ ! -d $(@D) ] || touch $@

.bench/peers/iipsrv/.ready:
	@mkdir -p $(@D)
	@[ -e /usr/lib/iipimage-server/iipsrv.fcgi ] || (cd $(@D) && apt-get download -qq iipimage-server libfcgi0ldbl \
	    libmemcached11 libhashkit2 && for package in *.deb; do dpkg -x "$$package" .; done; rm -f *.deb) 2>/dev/null \
	    || echo 'iipimage-server cannot be had; install it with apt-get, or iipsrv takes no part' >&2
	@touch $@

lint: .venv/.dev ## Check style, types, the direction of imports, declared dependencies and spelling
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy sidecar plugins tests examples
	.venv/bin/lint-imports --no-logo
	.venv/bin/deptry --no-ansi .
	@for project in $(PLUGINS); do (cd $$project && ../../.venv/bin/deptry --no-ansi .) || exit 1; done
	.venv/bin/codespell

lock: .venv/.dev ## Renew the lock files in requirements/ to the newest versions that pyproject.toml allows
	@.ci/lock .venv/bin/uv

audit: .venv/.dev ## Look up known vulnerabilities of what the lock files name, if their data can be reached
	@.venv/bin/python -m tests.packaging.audit requirements/dev.txt

arm64: .venv/.dev ## Look whether all that is installed is there for Arm64, if the registries can be reached
	@.venv/bin/python -m tests.packaging.arm64 requirements/dev.txt

arm64-tests: wheels ## Run tests of what is native by Debian's Python for arm64 under qemu-user (ARGS='path …' for others)
	.venv/bin/python -m tests.packaging.emulated dist $(ARGS)

wheels: .venv/.dev ## Build the wheels of all distributions in dist/, the same bytes each time, and an SBOM
	rm -rf dist
	SOURCE_DATE_EPOCH=$(EPOCH) $(PIP) wheel --quiet --no-deps --no-build-isolation --wheel-dir dist . $(PLUGINS:%=./%)
	@SOURCE_DATE_EPOCH=$(EPOCH) .venv/bin/python -m tests.packaging.sbom dist
	@ls dist

wheels-test: wheels ## Install the wheels elsewhere, serve a picture, and run the examples through their contracts
	SOURCE_DATE_EPOCH=$(EPOCH) .venv/bin/python -m tests.packaging.wheels dist

fresh: wheels ## The wheels on fresh Debian and Ubuntu, and the container's steps, by debootstrap as root (ONLY=trixie for some)
	.venv/bin/python -m tests.packaging.fresh dist $(ONLY)

more-packages: ## Install Chromium, promtool and Valkey, without which some tests are skipped
	@.ci/packages $(PYTHON) more

packages: ## Install what is needed of the system, or say what it is
	@.ci/packages $(PYTHON)

clean: ## Remove everything that was set up
	rm -rf .venv .run .bench .mypy_cache .pytest_cache .ruff_cache .hypothesis

.venv/bin/python: | packages
	$(PYTHON) -m venv .venv

# What comes from elsewhere is what the lock file names, checked by hash; then the core and every plugin, editable. Builds
# are not isolated: they use what is locked, too. Again only when a lock file or a pyproject.toml has changed.
define install
	$(PIP) install --require-hashes --requirement requirements/build.txt
	$(PIP) install --require-hashes --no-build-isolation --use-pep517 --requirement requirements/$(1).txt
	$(PIP) install --no-deps --no-build-isolation --editable . $(PLUGINS:%=--editable ./%)
endef

.venv/.plain: $(PROJECTS) requirements/build.txt requirements/demo.txt | packages .venv/bin/python
	$(call install,demo)
	@touch $@

# The test tools bring all that running takes.
.venv/.dev: $(PROJECTS) requirements/build.txt requirements/dev.txt | packages .venv/bin/python
	$(call install,dev)
	@touch $@ .venv/.plain
