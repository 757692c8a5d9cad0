# The maintainer's verbs; `make` lists them.
VENV ?= .venv
PYTHON := $(VENV)/bin/python
# Where they are typed, as in `make new OUT=...`: a shell's own OUT decides nothing
OUT := ..
ARGS :=
# pip's settings of a person's machine that keep it from installing into an environment
export PIP_USER := 0
unexport PIP_TARGET PIP_PREFIX

.DEFAULT_GOAL := help
.PHONY: help
help: ## List the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The environment holds a group of pyproject.toml when the mark is newer than that file and its lock. It may be half-made: by
# a venv without pip, or without internet.
$(VENV)/.has-%: pyproject.toml constraints.txt
	@$(PYTHON) -m pip --version >/dev/null 2>&1 || for python in python3.13 python3.12 python3.11 python3; do \
		$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && exec $$python -m venv $(VENV); \
	done || { echo "This needs Python 3.11, 3.12 or 3.13; see https://www.python.org/downloads/" >&2; exit 1; }
	$(PYTHON) -m pip install --quiet pip==26.1.2 # dependency groups came with 25.1
	$(PYTHON) -m pip install --quiet --constraint constraints.txt --group $*
	@touch $@

.PHONY: new
new: $(VENV)/.has-new ## Ask for the answers and make a team's repository (OUT=.., ARGS=--plain for screen readers)
	@$(PYTHON) tools/new.py --output-dir '$(subst ','\'',$(OUT))' $(ARGS)

.PHONY: test
test: $(VENV)/.has-test ## Run the fast tests, without PyTorch (ARGS="-k answers")
	$(PYTHON) -m pytest $(ARGS)

# The rest needs a repository and the environments that its `make setup` makes: TEAM_WORK holds them, and is kept.
TEAM_WORK ?= $(CURDIR)/.team
TEAM_PYTHON ?= 3.11 # the images'; make team TEAM_PYTHON=3.13
export TEAM_REPOSITORY := $(TEAM_WORK)/digit-reader
export TEAM_VENV ?= $(TEAM_WORK)/venv
export TEAM_SERVING_VENV ?= $(TEAM_WORK)/venv-serving
# One thread each, because tests run beside one another
IN_REPOSITORY := OMP_NUM_THREADS=1 SERVING_VENV=$(TEAM_SERVING_VENV) PYTHONPATH=$(TEAM_REPOSITORY)/src

.PHONY: team
team: $(VENV)/.has-new ## Make a repository of the template as it is now, and its environments, for the next verb
	@rm -rf $(TEAM_REPOSITORY)
	@$(PYTHON) tools/new.py --output-dir $(TEAM_WORK) --no-input project_name='Digit Reader' >/dev/null
	@git -C $(TEAM_REPOSITORY) init --quiet -b main && git -C $(TEAM_REPOSITORY) add --all
	@git -C $(TEAM_REPOSITORY) -c user.name=template -c user.email=template@localhost commit --quiet --message Start
	$(MAKE) --no-print-directory -C $(TEAM_REPOSITORY) setup PYTHON=$(TEAM_PYTHON) VENV=$(TEAM_VENV) SERVING_VENV=$(TEAM_SERVING_VENV)
	@$(MAKE) --no-print-directory -C $(TEAM_REPOSITORY) VENV=$(TEAM_VENV) $(foreach extra,check guide lint test ui,$(TEAM_VENV)/.has-$(extra))
	@cd $(TEAM_REPOSITORY) && sh src/mlops/platform/install.sh $(TEAM_VENV)/bin/python registry bucket
	@$(TEAM_VENV)/bin/python -m pip install --quiet pip==26.1.2 # dependency groups came with 25.1
	$(TEAM_VENV)/bin/python -m pip install --quiet --group machinery

.PHONY: test-machinery
test-machinery: ## Run the tests of the machinery in that repository (ARGS="-n 0 -k runs")
	$(IN_REPOSITORY) $(TEAM_VENV)/bin/python -m pytest tests/machinery $(ARGS)

.PHONY: test-all
test-all: test team ## Run every test: about an hour on two cores, with 3 GB to download the first time
	$(PYTHON) -m pytest -m slow
	$(MAKE) --no-print-directory test-machinery
	$(MAKE) --no-print-directory test-machinery ARGS="-m slow --durations=10"

# What it starts is built once, outside the repository; KUBECONFIG_FOR_TESTS=FILE uses a cluster of yours instead.
CLUSTER_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/cookiecutter-polyaxon-argo-seldon
export CLUSTER_CACHE

.PHONY: test-api
test-api: $(VENV)/.has-test ## Apply what is rendered to a real API server, with Argo's controller (ARGS="-k deploy")
	@[ -n "$$KUBECONFIG_FOR_TESTS" ] || tests/cluster/build.sh '$(CLUSTER_CACHE)'
	$(PYTHON) -m pytest -n 0 tests/cluster $(ARGS)

.PHONY: test-cluster
test-cluster: $(VENV)/.has-test ## Package, serve and replace models on a cluster with nodes (KUBECONFIG_FOR_TESTS=FILE, ARGS=-rP)
	@[ -n "$$KUBECONFIG_FOR_TESTS" ] || { echo "test-cluster needs a cluster: type make cluster CONTEXT=NAME in a team's repository, then here make test-cluster TEAM_REPOSITORY=FOLDER KUBECONFIG_FOR_TESTS=FOLDER/build/cluster/kubeconfig" >&2; exit 1; }
	$(PYTHON) -m pytest -n 0 tests/cluster/node $(ARGS)

.PHONY: lint
lint: $(VENV)/.has-lint ## Hold every file to .pre-commit-config.yaml; it mends what it can (ARGS=types for one of its hooks)
	@PATH="$(abspath $(VENV))/bin:$$PATH" pre-commit run --all-files --show-diff-on-failure $(ARGS)

.PHONY: bench
bench: $(VENV)/.has-test ## Measure what a team gets beside its peers; writes docs/benchmarks.md (ARGS=--short only tries it)
	$(PYTHON) bench/peers.py $(ARGS)

.PHONY: picture
picture: team ## Write the README's picture, docs/digits.png, from the pipeline of that repository
	@$(MAKE) --no-print-directory -C $(TEAM_REPOSITORY) pipeline VENV=$(TEAM_VENV) SERVING_VENV=$(TEAM_SERVING_VENV)
	cp $(TEAM_REPOSITORY)/build/answers.png docs/digits.png

.PHONY: lock
lock: $(VENV)/.has-test ## Write constraints.txt and the locks of a team's repository anew (ARGS=--upgrade); needs PyPI
	@$(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate $(ARGS) \
		--group lint --output-file constraints.txt
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
		$(PYTHON) tools/new.py --output-dir "$$folder" --no-input repo_name=team >/dev/null && \
		$(MAKE) --no-print-directory --directory="$$folder/team" lock VENV='$(abspath $(VENV))' ARGS='$(ARGS)' && \
		cp "$$folder"/team/*requirements.txt '{{cookiecutter.repo_name}}'

# What is new is compared with the branch that a change goes to
BASE := origin/main
.PHONY: changelog
changelog: $(VENV)/.has-test ## Say whether this branch has its file in changelog.d (BASE=origin/main)
	@$(VENV)/bin/towncrier check --compare-with '$(BASE)'
