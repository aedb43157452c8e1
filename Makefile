# Modicum on a machine that has Python 3.11 or newer with venv, and make. Nothing is installed outside .venv.
#   make setup      the environment alone
#   make bench      the whole system live   BUS=socketcan:vcan0 SCENARIO=name SECONDS=60 ARGS="--consent none"
#   make test       every test that this machine allows, and what was left out   TESTS="tests/hw -k gate"
#   make test-guest the same with the tests that boot a guest with SocketCAN and systemd (tests/guest/machine/build makes it, as root)
#   make benchmark  speed and memory beside a peer measured in the same run   ARGS="stages live"
#   make evidence   which requirement is shown by which test
#   make format     the one layout of the source
#   make lock       pins anew from requirements/*.in (needs uv); make mf4 adds the reader of MF4 logs to .venv

PYTHON ?= python3
UV ?= uv
WORKERS ?= 2
TESTS ?=
ENV := .venv
RUN := $(ENV)/bin/python
INSTALL := $(RUN) -m pip install --quiet --disable-pip-version-check --no-input
LOCKED := $(INSTALL) --require-hashes

.DEFAULT_GOAL := setup
.DELETE_ON_ERROR:
.PHONY: setup bench test test-guest benchmark evidence format lock mf4 clean

# An environment that was made elsewhere, or whose interpreter is gone, is made anew: its commands hold absolute paths.
ifneq ($(shell test -x $(ENV)/bin/python && cat $(ENV)/.place 2>/dev/null),$(CURDIR))
$(shell rm -f $(ENV)/.place $(ENV)/.bench $(ENV)/.test $(ENV)/.mf4)
endif

setup: $(ENV)/.bench

bench: $(ENV)/.bench
	@$(ENV)/bin/modicum bench $(if $(BUS),--bus "$(BUS)") $(if $(SCENARIO),--scenario "$(SCENARIO)") \
		$(if $(SECONDS),--seconds "$(SECONDS)") $(ARGS)

# Every check runs, also after one that failed; pytest comes last, so that its closing line and what it left out stand at the end.
test: $(ENV)/.test
	@failed=; \
	echo "== ruff"; $(RUN) -m ruff check . || failed="$$failed ruff"; $(RUN) -m ruff format --check --quiet . || failed="$$failed format"; \
	echo "== mypy"; $(RUN) -m mypy || failed="$$failed mypy"; \
	echo "== pytest"; $(RUN) -m pytest -n $(WORKERS) -m "not live and not guest" -rsfE $(TESTS) || failed="$$failed pytest"; \
	echo "== pytest, in the guest"; $(RUN) -m pytest -n $(WORKERS) -m guest -rsfE $(TESTS); \
	case $$? in 0|5) ;; *) failed="$$failed guest";; esac; \
	echo "== pytest, in real time, one at a time"; $(RUN) -m pytest -m live -rsfE $(TESTS); \
	case $$? in 0|5) ;; *) failed="$$failed live";; esac; \
	if [ -n "$$failed" ]; then echo "make test: failed:$$failed" >&2; exit 1; fi

test-guest:
	@GUEST=1 $(MAKE) --no-print-directory test

benchmark: $(ENV)/.test
	@$(RUN) -m tests.benchmarks $(ARGS)

evidence: $(ENV)/.test
	@$(RUN) -m tests.evidence $(ARGS)

format: $(ENV)/.test
	@$(RUN) -m ruff check --fix --quiet . ; $(RUN) -m ruff format .

mf4: $(ENV)/.mf4

clean:
	rm -rf $(ENV) .evidence .hypothesis .mypy_cache .pytest_cache .ruff_cache build *.egg-info

# -- the environment --------------------------------------------------------------------------------------------------

$(ENV)/.place:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "make: $(PYTHON) is not Python 3.11 or newer: install one and say make PYTHON=python3.11" >&2; exit 1; }
	@echo "Setting up $(ENV) with $(PYTHON); the first time takes a minute or two."
	@$(PYTHON) -m venv --clear $(ENV) || { rm -rf $(ENV); \
		echo "make: $(PYTHON) cannot make a virtual environment: install its venv module (Debian: python3-venv)" >&2; exit 1; }
	@printf '%s\n' "$(CURDIR)" > $@

# The project itself is installed as a pointer to this folder; its build tool is pinned too, so nothing unpinned is fetched.
$(ENV)/.bench: $(ENV)/.place requirements/build.txt requirements/bench.txt pyproject.toml
	@$(LOCKED) -r requirements/build.txt -r requirements/bench.txt
	@PYTHONWARNINGS=ignore $(INSTALL) --no-build-isolation --no-deps --no-index -e .
	@touch $@

$(ENV)/.test: $(ENV)/.bench requirements/test.txt
	@$(LOCKED) -r requirements/test.txt
	@touch $@

$(ENV)/.mf4: $(ENV)/.bench requirements/mf4.txt
	@$(LOCKED) -r requirements/mf4.txt
	@touch $@

# -- pins -------------------------------------------------------------------------------------------------------------

LOCKS := build device bench test mf4

lock:
	@command -v $(UV) > /dev/null || { echo "make: uv is not here: install it (pip install uv) or say make lock UV=path" >&2; exit 1; }
	@cd requirements && for name in $(LOCKS); do \
		UV_CUSTOM_COMPILE_COMMAND="make lock" $(UV) pip compile --quiet --no-config --universal --generate-hashes --python-version 3.11 \
			--no-emit-index-url --no-emit-find-links -o $$name.txt $$name.in || exit 1; done
