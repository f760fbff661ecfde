# Needs git, make and Python 3; everything else is fetched into this folder.

UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
RUN := $(UV) run --locked
SPEC := os_repeat_local_vs_systemic

.PHONY: analysis test lint format types setup

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

setup: $(UV)
	@$(UV) sync --locked --quiet

.uv/bin/uv:
	@echo "uv is not installed: fetching it into .uv/"
	@python3 -m venv .uv || { echo "make: Python's venv module is missing; install it (Debian: apt-get install python3-venv) or uv itself" >&2; rm -rf .uv; exit 2; }
	@.uv/bin/python -m pip install --quiet --disable-pip-version-check uv

# a uv found on PATH needs no rule of its own
ifneq ($(UV),.uv/bin/uv)
$(UV):
endif
