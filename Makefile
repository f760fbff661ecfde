# Needs git, make and Python 3; everything else is fetched into this folder.

UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
RUN := $(UV) run --locked
SPEC := os_repeat_local_vs_systemic

.PHONY: analysis test lint format types setup bench bench-main-job bench-accuracy bench-batches bench-large bench-sensitivity

analysis: setup  ## set up, then run the main job on the embedded synthetic cohort
	$(RUN) bayes-crlm run $(SPEC)

test: setup  ## set up, then pass the tests
	$(RUN) pytest -n 2

lint: setup  ## lint and check the format
	$(RUN) ruff check
	$(RUN) ruff format --check

format: setup  ## put the code into its format
	$(RUN) ruff check --fix
	$(RUN) ruff format

types: setup  ## check the package's types
	$(RUN) ty check bayes_crlm

bench: setup  ## time this package, PyMC, nutpie, NumPyro and Cox on one cohort; BENCH="--resume" goes on
	$(RUN) python benchmarks/bench.py $(BENCH)

bench-main-job: setup  ## time and memory of the main job
	$(RUN) python benchmarks/main_job.py

bench-accuracy: setup  ## hold engine laplace against long NUTS runs on simulated cohorts
	$(RUN) python benchmarks/laplace_accuracy.py

bench-batches: setup  ## cohorts a second
	$(RUN) python benchmarks/batches.py

bench-large: setup  ## a million rows
	$(RUN) python benchmarks/large_cohort.py

bench-sensitivity: setup  ## coverage of the sensitivity analyses on simulated cohorts
	$(RUN) python benchmarks/immortal_time.py
	$(RUN) python benchmarks/overlap.py
	$(RUN) python benchmarks/imputation.py
	$(RUN) python benchmarks/confounding_bias.py
	$(RUN) python benchmarks/sensitivity.py

# bytecode once, here: where Python writes none itself, every import would compile everything
setup: $(UV)
	@$(UV) sync --locked --quiet --compile-bytecode

.uv/bin/uv:
	@echo "uv is not installed: fetching it into .uv/"
	@python3 -m venv .uv || { echo "make: Python's venv module is missing; install it (Debian: apt-get install python3-venv) or uv itself" >&2; rm -rf .uv; exit 2; }
	@.uv/bin/python -m pip install --quiet --disable-pip-version-check uv

# a uv found on PATH needs no rule of its own
ifneq ($(UV),.uv/bin/uv)
$(UV):
endif
