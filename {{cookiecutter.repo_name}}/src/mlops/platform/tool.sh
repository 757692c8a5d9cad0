#!/bin/sh
# Runs a program of the working environment, for .pre-commit-config.yaml:   tool.sh ruff check FILE...
# git starts a hook without make, which knows where that environment is: `make hooks` notes it in git's configuration.
set -eu
venv=${VENV:-$(git config --get hooks.venv || echo .venv)}
export PATH="$venv/bin:$PATH" PYTHONPATH="$PWD/src"
if ! command -v "$1" >/dev/null; then
    echo "There is no $1 in the environment at $venv. Install it: make hooks (where that is elsewhere: make hooks VENV=...)" >&2
    exit 1
fi
exec "$@"
