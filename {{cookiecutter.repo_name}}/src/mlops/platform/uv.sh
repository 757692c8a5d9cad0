#!/bin/sh
# Run an environment's uv, which is installed first where it is missing:   uv.sh PYTHON pip install ...
# Where packages come from, certificates and the proxy are pip's settings (pip.conf, PIP_INDEX_URL), which uv does not
# read; uv's own variables come first.
set -eu
python=$1
shift
export PIP_USER=0 # what a person set: it turns `pip install` and `pip config` to other places

if ! "$python" -m uv --version >/dev/null 2>&1; then
    lines=$(mktemp)
    trap 'rm -f "$lines"' EXIT
    sed -n '/^uv==/,/[^\\]$/p' requirements.txt >"$lines"
    PIP_REQUIRE_VIRTUALENV=0 PIP_TARGET='' PIP_PREFIX='' \
        "$python" -m pip install --quiet --no-deps --require-hashes --requirement "$lines"
    rm -f "$lines"
fi

# As with pip, a home that cannot be written to, of a container or of a service's account, costs only the cache
cache=$("$python" -m uv cache dir)
{ mkdir -p "$cache" && [ -w "$cache" ]; } 2>/dev/null || export UV_NO_CACHE=1

settings=$("$python" -m pip config list)
for pair in index-url:UV_DEFAULT_INDEX extra-index-url:UV_INDEX find-links:UV_FIND_LINKS \
    trusted-host:UV_INSECURE_HOST cert:SSL_CERT_FILE proxy:ALL_PROXY; do
    name=${pair#*:}
    # shellcheck disable=SC2034 # eval uses it
    value=$(printf '%s\n' "$settings" | sed -n -e "s/^:env:\.${pair%:*}='\(.*\)'\$/\1/p" \
        -e "s/^[a-z]*\.${pair%:*}='\(.*\)'\$/\1/p" | sed -n -e 's/\\n/ /g' -e 's/^ *//p;q')
    eval "[ -z \"\$value\" ] || [ -n \"\${$name-}\" ] || export $name=\"\$value\""
done
# As pip: the system's certificates, and of several places the one that has the version
export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-true}" UV_INDEX_STRATEGY="${UV_INDEX_STRATEGY:-unsafe-best-match}"
# As pip, too: Python compiles a package once, here, and not at each start where it may not write (an image)
export UV_COMPILE_BYTECODE="${UV_COMPILE_BYTECODE:-1}"
[ "$1 $2" = "pip install" ] || exec "$python" -m uv "$@"
# Say what uv does and how it ends, but not each package, and of an error's causes the last. Where the caller has another
# way, MLOPS_OTHERWISE says which, in place of the error.
otherwise=${MLOPS_OTHERWISE-} hidden="" cause=""
{ "$python" -m uv "$@" 2>&1 || echo failed; } | while IFS= read -r line; do
    case $line in
        " + "* | " - "* | " ~ "*) continue ;;
        "Installed "*) line="$line; compiling them" ;;
        "error: "*) hidden=$otherwise ;;
        "  cause: "*) cause=$line && continue ;;
        failed)
            printf '%s\n' ${otherwise:+"$otherwise"} ${cause:+"$cause"} >&2
            exit 1
            ;;
    esac
    [ -n "$hidden" ] || printf '%s\n' "$line" >&2
done
