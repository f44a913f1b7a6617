# What this project can do: `make` lists it. Each target sets up what it needs, in .venv.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
# Tests start hundreds of processes: without bytecode each of them compiles all sources.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
MINIMUM := import sys; sys.exit(sys.version_info < (3, 11))

.PHONY: help demo compose-demo test test-more test-apps test-pythons faults soak bench bench-mixed bench-curves bench-workers bench-dear bench-set-up lint format schemas clean

help: ## list what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/run.stamp ## three Portals on this machine that send each other postcards (ONCE=1: then end)
	@exec $(BIN)/python -m demo $(if $(ONCE),--once)

compose-demo: $(VENV)/run.stamp ## the same in containers; needs Docker with Compose v2 (KEEP=1: leave it running)
	@exec $(BIN)/python -m demo --containers $(if $(KEEP),--keep)

# The types are checked by one process, which leaves the other processors to the tests meanwhile.
test: $(VENV)/dev.stamp ## lint, types, import rules and the tests that need nothing special
	@linted=$$(mktemp); trap 'rm -f "$$linted"' EXIT; \
	$(MAKE) lint >"$$linted" 2>&1 & lint=$$!; \
	passed=0; $(BIN)/pytest -n 4 --dist loadfile -rs -m "not more" || passed=$$?; \
	clean=0; wait $$lint || clean=$$?; \
	cat "$$linted"; [ $$passed = 0 ] && [ $$clean = 0 ]

test-more: $(VENV)/dev.stamp ## the tests that need a browser, an engine or a long time (SKIP=1: without what can't be got)
	@SKIP=$(SKIP) ./tests/more/set-up
	$(BIN)/pytest -m more -rs -n 4 --dist loadfile --ignore tests/more
	$(BIN)/pytest -m more -rs tests/more --ignore tests/more/apps

test-apps: $(VENV)/dev.stamp ## other people's apps and clients, as docs/apps.md and docs/clients.md have them (WRITE=1: versions into the latter; SKIP=1: without what can't be got)
	@SKIP=$(SKIP) ./tests/more/set-up apps
	WRITE=$(WRITE) $(BIN)/pytest -m more -rs tests/more/apps

test-pythons: $(VENV)/dev.stamp ## with Python 3.12 to 3.15, as far as they can be had: the core, the files, two Portals from the wheel (ONLY="3.14")
	@exec $(BIN)/python -m tests.more.pythons $(ONLY)

faults: $(VENV)/dev.stamp ## make each fault many times, and write what was seen into docs/reliability.md (some twenty minutes)
	@SKIP=$(SKIP) ./tests/more/set-up faults
	@exec $(BIN)/python -m tests.more.faults --write

soak: $(VENV)/dev.stamp ## a Portal under mixed load for MINUTES=10: memory, descriptors and tasks; fails where they grow
	@exec $(BIN)/python -m tests.more.soak --minutes $(or $(MINUTES),10)

# In an environment of its own: what others' proxies need must not change what ours is tested with.
bench: bench-set-up ## CPU per request against other proxies, as ratios (QUICK=1: within three minutes; BASELINE=REVISION; ONLY="hop tails"; WRITE=1: into its page)
	@exec .venv-bench/bin/python -m bench $(if $(QUICK),--quick) $(if $(BASELINE),--baseline $(BASELINE)) $(if $(ONLY),--only $(ONLY)) $(if $(WRITE),--write)

bench-mixed: bench-set-up ## how memory grows within five minutes of mixed load (MINUTES=5)
	@exec .venv-bench/bin/python -m bench --only mixed $(if $(MINUTES),--minutes $(MINUTES)) --out bench/out/mixed

bench-curves: bench-set-up ## CPU per request as connections, bodies, contacts, apps and rules grow
	@exec .venv-bench/bin/python -m bench.curves $(if $(QUICK),--quick) $(if $(WRITE),--write)

bench-workers: bench-set-up ## calls a second as workers are added (QUICK=1: for a look)
	@exec .venv-bench/bin/python -m bench.workers $(if $(QUICK),--quick) $(if $(WRITE),--write)

bench-dear: $(VENV)/run.stamp ## CPU of the dearest requests of 16 KB, beside ordinary ones
	@exec $(BIN)/python -m bench.dear

# With the best Python there is, which ours and its peers in Python share.
bench-set-up:
	@python=$$(python3 bench/interpreter.py); \
	[ ! -e .venv-bench ] || [ -z "$$python" ] || [ "$$(cat .venv-bench/python 2>/dev/null)" = "$$python" ] || rm -rf .venv-bench; \
	$(MAKE) VENV=.venv-bench PYTHON="$$python" .venv-bench/run.stamp; \
	echo "$$python" > .venv-bench/python
	@./bench/set-up .venv-bench

lint: $(VENV)/dev.stamp ## ruff, mypy and the import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	cd clients/python && $(abspath $(BIN))/mypy
	$(BIN)/lint-imports

format: $(VENV)/dev.stamp ## lay the code out, and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

schemas: $(VENV)/run.stamp ## write the JSON Schemas anew, after a change of a file's keys or of what the guides say of them
	@$(BIN)/python -m proxy.schemas

clean: ## remove the environment and the caches; the demo's state (its keys) stays
	rm -rf $(VENV) .venv-bench .venv-apps .venv-gradio .venv-autobahn .venv-servers .venv-pythons .pythons tests/more/*/node_modules tests/more/apps/{verdaccio,callers/node}/node_modules clients/typescript/{node_modules,build,dist} bench/out *.egg-info clients/python/*.egg-info clients/python/.mypy_cache build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# The environment. The stamps are made last, so what broke off is done again.
$(VENV)/bin/python:
	@python=; for candidate in $(PYTHON) python3.11 python3 python3.15 python3.14 python3.13 python3.12; do \
	  if $$candidate -c '$(MINIMUM)' 2>/dev/null; then python=$$candidate; break; fi; done; \
	if [ -z "$$python" ]; then echo "This needs Python 3.11 or newer; none was found." >&2; exit 1; fi; \
	echo "Making an environment in $(VENV) with $$($$python --version) ..."; \
	rm -rf $(VENV); \
	$$python -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "Python couldn't make it: on Debian and Ubuntu, install python3-venv." >&2; exit 1; }

$(VENV)/run.stamp: pyproject.toml | $(VENV)/bin/python
	@echo "Installing what the proxy needs into $(VENV); the first time this takes a minute ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/dev.stamp: pyproject.toml clients/python/pyproject.toml $(VENV)/run.stamp
	@echo "Installing the tools for tests into $(VENV); the first time this takes a minute ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --group dev
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable clients/python
	@touch $@
