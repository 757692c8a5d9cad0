#!/bin/sh
# Install pyproject.toml's dependencies and extras into an environment, as requirements.txt locks them:
#   install.sh PYTHON [EXTRA...]
# The lock holds PyPI's torch, which on Linux brings CUDA's libraries: 3 GB. Where there is no NVIDIA driver, PyTorch's
# build for the CPU comes first, of the same version, from PyTorch's own index. ACCELERATOR=cpu or cuda decides without looking.
set -eu
python=$(command -v "$1") # uv takes a name for that of an environment
shift
uv() { sh "$(dirname "$0")/uv.sh" "$python" "$@"; }

case ${ACCELERATOR:-} in
    cpu | cuda) ;;
    "")
        ACCELERATOR=cuda
        [ "$(uname -s)" != Linux ] || [ -e /proc/driver/nvidia/version ] || command -v nvidia-smi >/dev/null || ACCELERATOR=cpu
        ;;
    *)
        echo "ACCELERATOR is cpu or cuda, not $ACCELERATOR" >&2
        exit 1
        ;;
esac

case " $* " in
    *" train "*)
        versions=$(sed -n 's/^ *"\(torch\(vision\)\{0,1\}==[^"]*\)".*/\1/p' pyproject.toml)
        otherwise="PyTorch's index gives nothing: taking PyPI's build, which on Linux brings CUDA's libraries, 3 GB"
        # shellcheck disable=SC2086 # two words
        [ "$ACCELERATOR" = cuda ] || MLOPS_OTHERWISE=$otherwise UV_HTTP_TIMEOUT=10 UV_HTTP_RETRIES=1 uv pip install \
            --python "$python" --no-deps --default-index "${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}" $versions || true
        ;;
esac
extras=""
for extra in "$@"; do extras="$extras --extra $extra"; done
# shellcheck disable=SC2086 # words
install() { uv pip install "$@" --python "$python" --requirements pyproject.toml $extras --constraints requirements.txt; }
# What is here already, or in uv's cache, needs no network
told=$(UV_OFFLINE=1 install --dry-run 2>&1) || told="Would download"
case $told in
    *"Would download"*) ;;
    *) export UV_OFFLINE=1 ;;
esac
install
