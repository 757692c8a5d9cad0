# The maintainer's verbs; `make` lists them.
VENV ?= .venv
PYTHON := $(VENV)/bin/python
OUT ?= ..
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help
help: ## List the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(PYTHON):
	@python3.11 --version >/dev/null 2>&1 || { echo "This needs Python 3.11 as python3.11; see https://www.python.org/downloads/" >&2; exit 1; }
	python3.11 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet pip==26.1.2 # dependency groups came with 25.1

# The environment holds a group of pyproject.toml when the group's mark is newer than that file.
$(VENV)/.has-%: pyproject.toml | $(PYTHON)
	$(PYTHON) -m pip install --quiet --group $*
	@touch $@

.PHONY: new
new: $(VENV)/.has-new ## Make a team's repository in OUT (default ..); ARGS="--no-input project_name='Digit Reader'"
	@$(PYTHON) tools/new.py --output-dir '$(OUT)' $(ARGS)

.PHONY: test
test: $(VENV)/.has-test ## Run the template's tests (ARGS="-k answers")
	$(PYTHON) -m pytest $(ARGS)

.PHONY: lint
lint: $(VENV)/.has-lint ## Lint the hooks, tools and tests, and the rendered code by the settings rendered with it
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/shellcheck .ci/run tools/*.sh
	$(PYTHON) -m pytest -q -n 0 tests/test_render.py -k own_settings

.PHONY: bench
bench: $(VENV)/.has-new ## Measure what a team gets beside its peers; writes docs/benchmarks.md
	$(PYTHON) bench/peers.py $(ARGS)

.PHONY: changelog
changelog: $(VENV)/.has-test ## Say whether a change of what teams get has its entry in CHANGELOG.md (ARGS=COMMIT to compare with)
	@$(PYTHON) tools/check_changelog.py $(ARGS)
