# Everything that is done with this repository, by name: `make help`.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# What runs tools/parts.py and becomes the virtualenv's interpreter: Python 3.11 or newer.
PYTHON ?= python3
PARTS := $(PYTHON) tools/parts.py
OFFLINE := $(PYTHON) tools/offline.py
BIN := .venv/bin
STAMP := .venv/.complete
PYTEST_ARGS ?=
# How many tests run at a time; 0 runs them in pytest's own process (a debugger needs that).
WORKERS ?= 2
PARALLEL = -n $(WORKERS) --dist loadgroup

# The lock file is made for the interpreter that the machine has; uv is not to bring another.
export UV_PYTHON_DOWNLOADS := never
# Half of what collecting tests costs is rewriting their asserts: keep the bytecode, also where the environment says not to.
export PYTHONDONTWRITEBYTECODE :=

# A recipe's own variables do not reach its next line: every line that needs a part begins with this.
# Assigned one by one, because `export NAME=$(...)` would hide that a part could not be had.
with_vault = VAULT_BIN=$$($(PARTS) vault); TF_CLI_CONFIG_FILE=$$($(PARTS) terraform-config); \
  export VAULT_BIN TF_CLI_CONFIG_FILE
with_oracles = ORACLES_BIN=$$($(PARTS) oracles); export ORACLES_BIN

.PHONY: help venv lock demo check unit test test-faults test-compose lint type bench bench-against fuzz docs release

help: ## Say what there is
	@echo "make TARGET, with TARGET one of:"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(firstword $(MAKEFILE_LIST)) | while IFS='|' read -r name text; do \
	  printf '  %-14s %s\n' "$$name" "$$text"; done

venv: $(STAMP) ## Make the virtualenv .venv from uv.lock

$(STAMP): pyproject.toml uv.lock
	@$(PARTS) debian --for venv
	@uv=$$($(PARTS) uv); \
	"$$uv" sync --quiet --all-extras --all-groups --frozen --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')"
	@touch $@

lock: ## Bring uv.lock up to date with pyproject.toml
	@uv=$$($(PARTS) uv); "$$uv" lock

demo: $(STAMP) ## Show the whole way and every attack on it, with a real Vault and a software TPM
	@$(PARTS) debian --for test
	@$(with_vault); exec $(BIN)/python -m tools.demo

# The inner loop: nothing is started, nothing is fetched, and property tests take twenty examples. tests/unit/conftest.py says what is slow.
check: lint type ## Check style, layers, types and the fast unit tests: the inner loop, half a minute of CPU
	$(BIN)/pytest tests/unit -q -m "not slow" --hypothesis-profile=quick $(PYTEST_ARGS)

unit: $(STAMP) ## Run all unit tests (PYTEST_ARGS=… goes to pytest; WORKERS=… at a time)
	$(BIN)/pytest tests/unit -q $(PARALLEL) $(PYTEST_ARGS)

# A missing part fails here with a sentence; tests are told not to skip over one. `.venv/bin/pytest` alone does skip.
# The tests run in a network namespace without a route, where the machine allows one: what passes needs no network.
test: $(STAMP) ## Run all tests against the real parts, without a network (PYTEST_ARGS=… goes to pytest)
	@$(PARTS) debian --for test
	@$(with_vault); $(with_oracles); export VAB_TEST_REQUIRE_PARTS=1; \
	if [[ -n "$${EVIDENCE_CASES:-}" ]]; then \
	  [[ -d $$EVIDENCE_CASES ]] || { echo "EVIDENCE_CASES names $$EVIDENCE_CASES, which is no folder." >&2; exit 2; }; \
	elif [[ -d ../shared/evidence ]]; then \
	  EVIDENCE_CASES=$$(cd ../shared/evidence && pwd); \
	fi; \
	if [[ -n "$${EVIDENCE_CASES:-}" ]]; then \
	  export EVIDENCE_CASES; echo "Evidence cases: $$EVIDENCE_CASES"; \
	elif [[ "$${CI:-}" == true || "$${REQUIRE_ALL_PARTS:-}" == 1 ]]; then \
	  echo "There are no evidence cases: put them at ../shared/evidence or name their folder in EVIDENCE_CASES." >&2; exit 2; \
	else \
	  unset EVIDENCE_CASES; echo "Evidence cases: none (neither EVIDENCE_CASES nor ../shared/evidence); their tests cannot run."; \
	fi; \
	offline=; \
	if $(OFFLINE) --probe; then \
	  offline="$(OFFLINE) --"; echo "Network: none, the tests run in a namespace without a route."; \
	elif [[ "$${CI:-}" == true || "$${REQUIRE_ALL_PARTS:-}" == 1 ]]; then \
	  echo "A network namespace cannot be made here (unshare --net): the tests would not show that they need no network." >&2; exit 2; \
	else \
	  echo "Network: this machine's (unshare --net is not allowed here); no test needs it."; \
	fi; \
	exec $$offline $(BIN)/pytest tests --ignore=tests/compose --ignore=tests/fuzz --ignore=tests/faults $(PARALLEL) $(PYTEST_ARGS)

# VAB_TEST_FAULTS=long asks for the long form.
test-faults: $(STAMP) ## Break what the verifier stands on, in the real process tree; prints fault, promise and what was seen
	@$(PARTS) debian --for test
	@$(with_vault); export VAB_TEST_REQUIRE_PARTS=1; exec $(BIN)/pytest tests/faults $(PARALLEL) $(PYTEST_ARGS)

test-compose: $(STAMP) ## Run docker-compose.yml for real: up, login, secret, one refusal, down
	@$(PARTS) debian --for compose
	@settings=$$($(PARTS) images); export VAB_TEST_REQUIRE_PARTS=1 VAB_COMPOSE_SETTINGS="$$settings"; \
	exec $(BIN)/pytest tests/compose $(PYTEST_ARGS)

lint: $(STAMP) ## Check style, imports between layers and Terraform's form
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports
	@terraform=$$($(PARTS) terraform); set -x; "$$terraform" fmt -check -diff -recursive vault-config

type: $(STAMP) ## Check types
	$(BIN)/mypy
	$(BIN)/mypy --package tools
	MYPYPATH=deploy/compose:. $(BIN)/mypy --explicit-package-bases deploy/compose tests/unit/tools tests/compose

bench: $(STAMP) ## Measure beside the peers, in one run
	@$(PARTS) debian --for bench
	@$(with_vault); exec $(BIN)/python -m benchmarks

REV ?= 596a58d
bench-against: $(STAMP) ## Measure logins and start-up beside another revision (REV=…)
	$(BIN)/python -m benchmarks.attest --against $(REV)
	$(BIN)/python -m benchmarks.startup --against $(REV)
	$(BIN)/python -m benchmarks.store --against $(REV)

fuzz: $(STAMP) ## Look for inputs that break a decoder
	exec $(BIN)/python -m tests.fuzz

docs: $(STAMP) ## Write the parts of docs/ that are made from the code
	exec $(BIN)/python -m tools.docs

release: $(STAMP) ## Build wheels, sdists, bill of materials and checksums into dist/ (docs/releasing.md)
	@uv=$$($(PARTS) uv); $(BIN)/python -m tools.release --uv "$$uv"
