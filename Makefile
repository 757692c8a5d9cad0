# The maintainer's verbs; `make` lists them.
VENV ?= .venv
PYTHON := $(VENV)/bin/python
OUT ?= ..
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help
help: ## List the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The environment holds a group of pyproject.toml when the group's mark is newer than that file. It may be half-made: by
# a venv without pip, or without internet.
$(VENV)/.has-%: pyproject.toml
	@python3.11 --version >/dev/null 2>&1 || { echo "This needs Python 3.11 as python3.11; see https://www.python.org/downloads/" >&2; exit 1; }
	@$(PYTHON) -m pip --version >/dev/null 2>&1 || python3.11 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet pip==26.1.2 # dependency groups came with 25.1
	$(PYTHON) -m pip install --quiet --group $*
	@touch $@

.PHONY: new
new: $(VENV)/.has-new ## Make a team's repository in OUT (default ..); ARGS="--no-input project_name='Digit Reader'"
	@$(PYTHON) tools/new.py --output-dir '$(OUT)' $(ARGS)

.PHONY: test
test: $(VENV)/.has-test ## Run the template's tests (ARGS="-k answers")
	$(PYTHON) -m pytest $(ARGS)

.PHONY: lint
lint: $(VENV)/.has-lint ## Hold every file to .pre-commit-config.yaml; it mends what it can (ARGS=types for one of its hooks)
	@PATH="$(abspath $(VENV))/bin:$$PATH" pre-commit run --all-files --show-diff-on-failure $(ARGS)

.PHONY: bench
bench: $(VENV)/.has-new ## Measure what a team gets beside its peers; writes docs/benchmarks.md
	$(PYTHON) bench/peers.py $(ARGS)

.PHONY: changelog
changelog: $(VENV)/.has-test ## Say whether a change of what teams get has its entry in CHANGELOG.md (ARGS=COMMIT to compare with)
	@$(PYTHON) tools/check_changelog.py $(ARGS)
