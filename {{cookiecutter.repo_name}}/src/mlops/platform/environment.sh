#!/bin/sh
# Make a virtual environment, unless it is there already:   environment.sh FOLDER [PYTHON]
# Of PYTHON (3.12, or a program), else of the newest Python that fits: on the PATH, or where pyenv and uv keep theirs.
set -eu
folder=$1 wanted=${2:-}
rule="Python 3.11, 3.12 or 3.13 is needed" # as requires-python in pyproject.toml
unfit=""

fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

version() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

check_what_is_there() {
    there=$(version "$folder/bin/python")
    case $there in
        3.1[123]) ;;
        *) fail "$rule; the environment at $folder has $there." ;;
    esac
    case $wanted in
        "" | "$there") ;;
        *) [ "$(version "$wanted")" = "$there" ] ||
            fail "The environment at $folder has Python $there, not that of PYTHON=$wanted. To make it anew: rm -r $folder" ;;
    esac
}

# Make it of a program and end, or note why not. Debian leaves out the module that an environment is made with.
try() {
    found=$(version "$1") || return 0
    case $found in
        3.1[123])
            if "$1" -c 'import ensurepip' 2>/dev/null; then
                mkdir -p "$folder"
                touch "$folder/.unfinished"
                "$1" -m venv "$folder"
                rm "$folder/.unfinished"
                exit
            fi
            found="$found without venv (apt install python$found-venv)"
            ;;
    esac
    unfit="$unfit; $1 is $found"
}

try_version() {
    for program in "python$1" "${PYENV_ROOT:-${HOME-}/.pyenv}/versions/$1".*/bin/python \
        "${UV_PYTHON_INSTALL_DIR:-${HOME-}/.local/share/uv/python}/cpython-$1".*/bin/python; do
        try "$program"
    done
}

if "$folder/bin/python" -m pip --version >/dev/null 2>&1; then
    check_what_is_there
    exit
fi
case $wanted in
    "")
        for version in 3.13 3.12 3.11; do try_version "$version"; done
        try python3
        ;;
    3.[0-9]*) try_version "$wanted" ;;
    *) try "$wanted" ;;
esac
fail "$rule, and ${wanted:-a search} gave none${unfit}." \
    "Install one (https://www.python.org/downloads/), or say which: make setup PYTHON=/path/to/python"
