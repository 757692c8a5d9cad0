#!/bin/sh
# CI's weekly `make upgrade-check`. The answer becomes an issue; it is changed when the answer changes, and closed when
# there is nothing to take. On GitHub by gh, with GH_TOKEN; on GitLab by its API, with UPGRADE_TOKEN, a project access
# token with the scope api.
# Ends with 0: nothing to take, NOT CHECKED, or the issue says it all · 1: could not be checked · without a token, 3: a
# newer release that fits, 4: one that needs people.
set -eu
venv=${UPGRADE_VENV:-.venv-upgrade}
title="A newer release of the template"
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT

not_checked() {
    [ -z "${GITHUB_ACTIONS:-}" ] || echo "::notice title=NOT CHECKED::$1"
    echo "NOT CHECKED: $1"
    exit 0
}

# $1 is the number of the open issue, or empty; $2 is "open", or "close" when there is nothing to take
on_github() {
    case $2$1 in
        open) gh issue create --title "$title" --body-file "$answer" ;;
        open*) gh issue edit "$1" --body-file "$answer" ;;
        close) ;;
        *) gh issue close "$1" ;;
    esac
}

gitlab() { curl --silent --show-error --fail --header "PRIVATE-TOKEN: $UPGRADE_TOKEN" "$@"; }
on_gitlab() {
    case $2$1 in
        open) gitlab --data-urlencode "title=$title" --data-urlencode "description@$answer" "$issues" >/dev/null ;;
        open*) gitlab --request PUT --data-urlencode "description@$answer" "$issues/$1" >/dev/null ;;
        close) ;;
        *) gitlab --request PUT --data "state_event=close" "$issues/$1" >/dev/null ;;
    esac
}

[ -n "${TEMPLATE:-}" ] || [ -f .cruft.json ] ||
    not_checked "The template's address is not known. Set the variable TEMPLATE to it, or take an upgrade once: make upgrade TEMPLATE=..."
[ -n "${TEMPLATE:-}" ] || ! grep -qE '"template": *"(/|~|file:|[A-Za-z]:)' .cruft.json ||
    not_checked "The template's address in .cruft.json is a folder of another machine. Set the variable TEMPLATE to its address."
make --silent UPGRADE_VENV="$venv" "$venv/.installed"
code=0
packages=$(echo "$venv"/lib/python3.*/site-packages)
PYTHONPATH=$packages:src "$venv/bin/python" -P -m mlops.upgrade --check --template "${TEMPLATE:-}" >"$answer" || code=$?
cat "$answer"
case $code in
    0) state=close ;;
    3 | 4) state=open ;;
    *) exit "$code" ;;
esac
text=$(cat "$answer")
# shellcheck disable=SC2016 # a block of Markdown
printf '```text\n%s\n```\n' "$text" >"$answer"
if [ -n "${GH_TOKEN:-}" ]; then
    number=$(gh issue list --state open --limit 500 --json number,title --jq ".[] | select(.title == \"$title\") | .number" | head -n 1)
    on_github "$number" "$state"
elif [ -n "${UPGRADE_TOKEN:-}" ]; then
    issues="$CI_API_V4_URL/projects/$CI_PROJECT_ID/issues"
    number=$(gitlab --get --data state=opened --data in=title --data-urlencode "search=$title" "$issues" |
        "$venv/bin/python" -c 'import json, sys; print(*[issue["iid"] for issue in json.load(sys.stdin)][:1])')
    on_gitlab "$number" "$state"
else
    exit "$code"
fi
