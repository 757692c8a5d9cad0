#!/usr/bin/env bash
# Build images of a rendered repository, and run a command in one, on a machine without Docker and without Docker Hub.
#
#   tools/build_images.sh build REPOSITORY PYTHON NAME...          (PYTHON: one of an environment with click)
#   tools/build_images.sh run REPOSITORY NAME FOLDER COMMAND...    (FOLDER of this machine is /volume inside)
#
# Needs Debian's buildah, crun and mmdebstrap, and root. The Dockerfiles are built as they are; what replaces the
# outside is a base image made here of Debian's packages under the name of the real one, and the certificates of this
# machine. ACCELERATOR=cuda takes torch from PyPI, BUILD_FLAGS adds words for buildah.
set -euo pipefail

BASE=docker.io/library/python:3.11-slim-bookworm
CERTIFICATES=/etc/ssl/certs/ca-certificates.crt

make_base() {
    buildah inspect --type image "$BASE" >/dev/null 2>&1 && return
    local work
    work=$(mktemp --directory)
    # shellcheck disable=SC2016  # mmdebstrap's shell expands $1, not this one
    mmdebstrap --quiet --variant=minbase \
        --include=python3-minimal,python3-pip,python3-venv,python-is-python3,ca-certificates \
        --customize-hook='rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED' \
        bookworm "$work/base.tar" </etc/apt/sources.list.d/debian.sources
    printf 'FROM scratch\nADD base.tar /\n' >"$work/Dockerfile"
    buildah build --quiet --isolation=chroot --tag="$BASE" "$work"
    rm -rf "$work"
}

build() {
    local repository=$1 python=$2
    shift 2
    make_base
    pip_settings=$(mktemp)
    trap 'rm -f "$pip_settings"' EXIT # a variable of the whole script: the trap runs at its end
    # Inside a build, pip has the certificates that are mounted and nothing else of this machine.
    printf '[global]\ncert = %s\n' "$CERTIFICATES" >"$pip_settings"
    local flags=(--flag=--isolation=chroot --flag=--pull-never
        --flag="--volume=$CERTIFICATES:$CERTIFICATES:ro" --flag="--volume=$pip_settings:/etc/pip.conf:ro")
    local word
    for word in ${BUILD_FLAGS:-}; do flags+=(--flag="$word"); done
    (cd "$repository" && PYTHONPATH=src "$python" -m mlops.platform.images build --builder buildah --accelerator "${ACCELERATOR:-cpu}" "${flags[@]}" "$@")
}

run() {
    local repository name=$2 folder=$3 images image container code=0
    repository=$(basename "$(realpath "$1")")
    shift 3
    images=$(buildah images --format '{{.Name}}:{{.Tag}}') # not piped: grep may end before buildah has written all
    image=$(grep --max-count=1 "/$repository/$name:" <<<"$images") ||
        { echo "There is no image $name of $repository here. Build it with: $0 build" >&2; return 1; }
    container=$(buildah from --pull-never "$image")
    buildah run --isolation=chroot --volume="$folder:/volume" "$container" -- "$@" || code=$?
    buildah rm "$container" >/dev/null
    return "$code"
}

case ${1:-} in
    build) shift; build "$@" ;;
    run) shift; run "$@" ;;
    *) sed -n '2,9p' "$0" >&2; exit 2 ;;
esac
