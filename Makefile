# Needs make and Python 3.11 or later, nothing else: everything is installed into .venv.

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
# Twice quiet: errors, no warnings.
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check --no-input
SOURCES := $(wildcard app tests interop bench migrations)
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help run test check format docs interop bench migrate constraints clean

help: ## Show this help
	@echo "Usage: make TARGET [ARGS=...] [PYTHON=/path/to/python]"
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1|\2/p' Makefile | while IFS='|' read -r target what; do \
		printf '%-14s %s\n' "$$target" "$$what"; done

# `exec` hands the terminal's Ctrl-C and every other signal to the server itself.
run: $(VENV)/.installed-run ## Start the server on http://localhost:8000 (installs and migrates by itself)
	@exec $(BIN)/ostiary serve $(ARGS)

# A worker for each core, which `ARGS="-n 0"` does without (for a debugger, or one quick test).
test: $(VENV)/.installed-test ## Run the test suite: SQLite, PostgreSQL, a real browser
	@$(BIN)/python -m pytest -n logical --dist loadfile $(ARGS)

check: $(VENV)/.installed-dev ## Lint, formatting, types, import floors, templates, Dockerfile
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy $(filter-out migrations,$(SOURCES))
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/djlint templates --quiet --check
	@$(BIN)/djlint templates --quiet --lint
	@$(BIN)/hadolint Dockerfile

format: $(VENV)/.installed-dev ## Rewrite sources and templates in the house style
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .
	@$(BIN)/djlint templates --quiet --reformat

docs: $(VENV)/.installed-test ## Build the documentation into build/docs; a warning is an error
	@$(BIN)/python -m sphinx -q -E -W --keep-going -b html -d build/doctrees docs build/docs
	@echo "Open build/docs/index.html"

interop: $(VENV)/.installed-test ## Run real MCP and OAuth clients against a real server
	@$(BIN)/python -m pytest interop $(ARGS)

bench: $(VENV)/.installed-test ## Measure
	@$(BIN)/python -m bench $(ARGS)
	@$(BIN)/python -m bench.admin

migrate: $(VENV)/.installed-run ## Bring the database to the newest schema
	@$(BIN)/ostiary migrate $(ARGS)

# Resolved on the oldest supported Python: what it accepts, the later ones accept too, but not the reverse.
constraints: ## Renew constraints.txt with the newest versions that fit (needs Python 3.11)
	@$(find_python); \
	"$$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { \
		echo "constraints.txt is resolved on Python 3.11: make constraints PYTHON=/path/to/python3.11" >&2; exit 1; }; \
	folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && "$$python" -m venv "$$folder/venv" && \
	"$$folder/venv/bin/python" -m pip -qq --disable-pip-version-check install -e '.[dev]' && \
	sed -n '/^#/p' constraints.txt > "$$folder/new" && \
	"$$folder/venv/bin/python" -m pip freeze --exclude-editable >> "$$folder/new" && \
	cat "$$folder/new" > constraints.txt && rm -f $(VENV)/.installed-*

clean: ## Remove everything that can be made again; ./data stays
	@rm -rf $(VENV) artefacts build dist htmlcov .coverage .hypothesis .import_linter_cache .mypy_cache \
		.pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Sets $python to the first interpreter that runs, is of a supported version and can make a virtual environment.
# Only one that was asked for by name (PYTHON=) is tried when there is such a name.
define find_python
python=; without_venv=; \
for candidate in $(or $(PYTHON),python3.13 python3.12 python3.11 python3.14 python3 python); do \
	"$$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null || continue; \
	if "$$candidate" -c 'import ensurepip, venv' 2>/dev/null; then python=$$candidate; break; fi; \
	without_venv=$${without_venv:-$$candidate}; \
done; \
if [ -z "$$python" ] && [ -n "$$without_venv" ]; then \
	echo "$$without_venv cannot make a virtual environment: install its venv module (Debian, Ubuntu: apt-get install python3-venv)." >&2; exit 1; \
elif [ -z "$$python" ]; then \
	echo "Python 3.11 to 3.14 is needed and was not found: install it (Debian, Ubuntu: apt-get install python3 python3-venv; macOS: brew install python@3.13) or name one with PYTHON=/path/to/python." >&2; exit 1; \
fi
endef

# Without a working interpreter in it (removed, upgraded, half made) the environment is made anew.
define make_venv
if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	$(find_python); \
	echo "Making $(VENV) with $$("$$python" --version) ..."; "$$python" -m venv --clear $(VENV) || exit 1; \
fi
endef

# What is installed for development serves for tests, and that serves for running: each stamps what it covers.
$(VENV)/.installed-run: pyproject.toml constraints.txt
	@$(make_venv)
	@echo "Installing ..."
	@$(PIP) install --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.installed-test: pyproject.toml constraints.txt
	@$(make_venv)
	@echo "Installing, with what the tests need ..."
	@$(PIP) install --constraint constraints.txt --editable '.[test]'
	@touch $(VENV)/.installed-run $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt
	@$(make_venv)
	@echo "Installing, with what development needs ..."
	@$(PIP) install --constraint constraints.txt --editable '.[dev]'
	@touch $(VENV)/.installed-run $(VENV)/.installed-test $@
