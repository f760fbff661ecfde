# Needs git, make and Python 3; everything else is fetched into this folder.

UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
# an interpreter that is there goes before one to be fetched: many networks reach PyPI and no more
PYTHON := $(shell sh scripts/find_python.sh)
SUPPORTED := >=3.12,<3.15
export UV_PYTHON := $(or $(PYTHON),$(SUPPORTED))
RUN := $(UV) run --no-sync
SPEC := os_repeat_local_vs_systemic

SYNC = $(UV) sync --locked --quiet
# a first run compiles the modules that it needs; where Python keeps no bytecode, every run would
BYTECODE := $(if $(PYTHONDONTWRITEBYTECODE),--compile-bytecode)

.PHONY: analysis test test-slow test-lowest test-sanitized test-without-compiler cross-compile test-aarch64 test-windows lint format types setup setup-dev interpreter hooks check-lock bench bench-first bench-main-job bench-accuracy bench-batches bench-large bench-sensitivity

analysis: setup  ## set up, then run the main job on the embedded synthetic cohort
	$(RUN) bayes-crlm run $(SPEC)

test: setup-dev  ## set up, then pass the tests
	$(RUN) pytest -n 2

test-slow: setup-dev  ## the tests that take minutes
	$(RUN) pytest -m slow

test-without-compiler: setup-dev  ## build where compilers are hidden: PyPI's ziglang compiles the native library
	PATH="$$PATH:$(CURDIR)/.uv/bin" $(RUN) pytest -q -m slow tests/project/test_packaging.py

cross-compile: $(UV)  ## the native library for Linux, macOS and Windows, by PyPI's ziglang, into build/platforms
	$(UV) run --no-project --with "ziglang>=0.15,<0.18" sh scripts/cross_compile.sh

test-aarch64: setup-dev  ## the native library on an emulated 64-bit ARM processor (Debian: qemu-user)
	UV=$(UV) sh scripts/test_aarch64.sh

test-windows: setup-dev  ## the native library of Windows, under Wine (Debian: wine64, wine)
	UV=$(UV) sh scripts/test_windows.sh

test-sanitized: setup-dev  ## the native library's tests, while it looks after its memory and arithmetic
	sh scripts/test_sanitized.sh

test-lowest: $(UV)  ## every command and file format with the lowest versions that pyproject.toml allows
	$(UV) venv --quiet --clear --python "$$(sh scripts/find_python.sh 3.12)" .venv-lowest
	$(UV) pip install --quiet --python .venv-lowest --resolution lowest-direct . "pytest>=9"
	cd tests && ../.venv-lowest/bin/python -P -m pytest --noconftest -q -m slow project/test_lowest_versions.py

hooks: setup-dev  ## lint and format at every commit
	$(RUN) pre-commit install

check-lock: $(UV)
	$(UV) lock --check --quiet

lint: setup-dev  ## rules, format, and that packages import only what is below them
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) lint-imports --no-cache

format: setup-dev  ## put the code into its format
	$(RUN) ruff check --fix
	$(RUN) ruff format

types: setup-dev  ## check the package's types
	$(RUN) ty check bayes_crlm

bench: setup-dev  ## time this package, PyMC, nutpie, NumPyro and Cox on one cohort; BENCH="--resume" goes on
	$(RUN) python benchmarks/bench.py $(BENCH)

bench-first: setup-dev  ## from one CSV file to the posterior, beside stanli
	$(RUN) python benchmarks/first_posterior.py

bench-main-job: setup-dev  ## time and memory of the main job
	$(RUN) python benchmarks/main_job.py

bench-accuracy: setup-dev  ## hold engine laplace against long NUTS runs on simulated cohorts
	$(RUN) python benchmarks/laplace_accuracy.py

bench-batches: setup-dev  ## cohorts a second
	$(RUN) python benchmarks/batches.py

bench-large: setup-dev  ## a million rows
	$(RUN) python benchmarks/large_cohort.py

bench-sensitivity: setup-dev  ## coverage of the sensitivity analyses on simulated cohorts
	$(RUN) python benchmarks/immortal_time.py
	$(RUN) python benchmarks/overlap.py
	$(RUN) python benchmarks/imputation.py
	$(RUN) python benchmarks/confounding_bias.py
	$(RUN) python benchmarks/sensitivity.py

setup: $(UV) interpreter  ## what the analysis needs; what only tests need stays where it is there already
	@$(SYNC) $(BYTECODE) --no-dev --inexact

setup-dev: $(UV) interpreter
	@$(SYNC) --compile-bytecode

# a Python of the package's own where the system has none that serves
interpreter: $(UV)
	@[ -n "$(PYTHON)" ] || $(UV) python install --quiet "$(SUPPORTED)" 2>/dev/null || { \
	  echo "make: Python 3.12, 3.13 or 3.14 is needed, and none was found or could be fetched; install one with your system's package manager, then run make again" >&2; \
	  exit 2; }

.uv/bin/uv:
	@echo "uv is not installed: fetching it into .uv/"
	@$(or $(PYTHON),python3) -m venv .uv || { echo "make: Python's venv module is missing; install it (Debian: apt-get install python3-venv) or uv itself" >&2; rm -rf .uv; exit 2; }
	@.uv/bin/python -m pip install --quiet --disable-pip-version-check uv

# a uv found on PATH needs no rule of its own
ifneq ($(UV),.uv/bin/uv)
$(UV):
endif
