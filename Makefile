# The maintainer's verbs; `make` lists them.
VENV ?= .venv
PYTHON := $(VENV)/bin/python
OUT ?= ..
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help
help: ## List the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-6s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(PYTHON):
	@python3.11 --version >/dev/null 2>&1 || { echo "This needs Python 3.11 as python3.11; see https://www.python.org/downloads/" >&2; exit 1; }
	python3.11 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet 'pip==26.1.2' # the first with --group is 25.1

$(VENV)/.new: pyproject.toml | $(PYTHON)
	$(PYTHON) -m pip install --quiet $$($(PYTHON) tools/dependencies.py)
	@touch $@

$(VENV)/.test: pyproject.toml | $(PYTHON)
	$(PYTHON) -m pip install --quiet $$($(PYTHON) tools/dependencies.py test)
	@touch $@

.PHONY: new
new: $(VENV)/.new ## Make a team's repository in OUT (default ..); ARGS="--no-input project_name='Digit Reader'"
	@$(PYTHON) tools/new.py --output-dir '$(OUT)' $(ARGS)

.PHONY: test
test: $(VENV)/.test ## Run the template's tests (ARGS="-k answers")
	$(PYTHON) -m pytest $(ARGS)

.PHONY: lint
lint: $(VENV)/.test ## Lint the hooks, tools and tests
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
