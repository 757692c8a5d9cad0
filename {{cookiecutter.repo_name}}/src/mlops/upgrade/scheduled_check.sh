#!/bin/sh
# CI's scheduled `make upgrade-check`, with exit codes that tell the answers apart, which make's do not.
# Ends with 0: up to date, or NOT CHECKED · 3: a newer release that fits · 4: one that conflicts · 1: could not be checked.
# On GitHub 3 becomes a warning beside the run, and 0; GitLab is told in its file that 3 is a warning.
set -eu
venv=${UPGRADE_VENV:-.venv-upgrade}
if [ -z "${TEMPLATE:-}" ] && [ ! -f .cruft.json ]; then
    told="The template's address is not known. Set the variable TEMPLATE to it, or take an upgrade once: make upgrade TEMPLATE=..."
    [ -z "${GITHUB_ACTIONS:-}" ] || echo "::notice title=NOT CHECKED::$told"
    echo "NOT CHECKED: $told"
    exit 0
fi
[ ! -f .cruft.json ] || TEMPLATE="" # the address that the last upgrade noted
make --no-print-directory UPGRADE_VENV="$venv" "$venv/.installed"
code=0
PYTHONPATH=src "$venv/bin/python" -m mlops.upgrade --check --template "${TEMPLATE:-}" || code=$?
[ "$code" -ne 3 ] || [ -z "${GITHUB_ACTIONS:-}" ] ||
    { echo "::warning title=A newer release of the template fits::Take it with: make upgrade"; code=0; }
[ "$code" -ne 4 ] || [ -z "${GITHUB_ACTIONS:-}" ] ||
    echo "::error title=A newer release of the template conflicts::make upgrade shows where; the log above says in which files"
exit "$code"
