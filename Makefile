# Everything runs from .venv, which `make setup` builds from the hashed lock.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
LOCK_VENV := .venv-lock
PIP := -m pip --disable-pip-version-check -qq
UV_VERSION := 0.13.9
COMPILE := $(LOCK_VENV)/bin/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-annotate --custom-compile-command "make lock"

export PIP_ROOT_USER_ACTION := ignore

# The first interpreter that runs and is new enough; a version manager's shim may exist and refuse.
# Setting PYTHON chooses one.
FIND_PYTHON = \
	find_python() { \
	  local old=""; \
	  for candidate in $(or $(PYTHON),python3.11 python3 python3.12 python3.13 python3.14); do \
	    version=$$("$$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue; \
	    if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then echo "$$candidate"; return; fi; \
	    old="$$old $$candidate is $$version"; \
	  done; \
	  if [ -n "$$old" ]; then echo "Aftersales needs Python 3.11 or newer, and$$old." >&2; \
	  else echo "Aftersales needs Python 3.11 or newer, and none was found." >&2; fi; \
	  return 1; \
	}

.PHONY: help
help: ## List the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(STAMP) ## Build .venv from the lock

$(STAMP): requirements-dev.txt pyproject.toml
	@$(FIND_PYTHON); python=$$(find_python); \
	"$$python" -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$$python has no venv module: install it (on Debian or Ubuntu, the package python3-venv)." >&2; exit 1; }; \
	echo "Installing the locked dependencies into $(VENV)"; \
	$(BIN)/python -c 'import pip' 2>/dev/null || "$$python" -m venv --clear $(VENV)
	@$(BIN)/python $(PIP) install --require-hashes -r requirements-dev.txt
	@$(BIN)/python $(PIP) install --no-deps --no-build-isolation --config-settings editable_mode=compat -e .
	@touch $@

.PHONY: demo
demo: $(STAMP) ## Run the whole system with requests walking through it
	@$(BIN)/aftersales demo

.PHONY: test
test: lint ## Everything that must be green: lint, types, layers, tests
	@$(BIN)/pytest tests/pure -q
	@$(BIN)/pytest tests -q --ignore=tests/pure -n 3 --dist worksteal

.PHONY: lint
lint: $(STAMP) ## Check style, format, types and import layers
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache --no-logo

.PHONY: format
format: $(STAMP) ## Format, and fix what the linter can fix
	@$(BIN)/ruff check --fix --quiet
	@$(BIN)/ruff format --quiet

.PHONY: process
process: $(STAMP) ## Draw processes/service_request.bpmn anew
	@$(BIN)/python -m processes.draw

.PHONY: lock
lock: ## Rewrite both requirements files (LOCK_ARGS=--upgrade takes newer versions)
	@$(FIND_PYTHON); python=$$(find_python); \
	"$$python" -m venv $(LOCK_VENV); $(LOCK_VENV)/bin/python $(PIP) install uv==$(UV_VERSION)
	@$(COMPILE) $(LOCK_ARGS) --extra build -o requirements.txt
	@$(COMPILE) $(LOCK_ARGS) --extra build --extra apprise --extra s3 --extra dev -c requirements.txt -o requirements-dev.txt

.PHONY: clean
clean: ## Remove .venv, caches and build outputs (the data under .aftersales stays)
	@rm -rf $(VENV) $(LOCK_VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
