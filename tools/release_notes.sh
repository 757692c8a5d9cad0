#!/usr/bin/env bash
# Print the section of CHANGELOG.md that a release's tag names: tools/release_notes.sh v1.2.3
set -euo pipefail
cd "$(dirname "$0")/.."

notes=$(awk -v version="${1#v}" '/^## / { here = $2 == version && $3 != "(unreleased)"; next } here' CHANGELOG.md)
[ -n "$notes" ] || { echo "CHANGELOG.md has no section \"## ${1#v} (YYYY-MM-DD)\". Give it one, then tag that commit." >&2; exit 1; }
printf '%s\n' "$notes"
