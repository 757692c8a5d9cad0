# JupyterLab, and TensorBoard behind its token. Build with `make images`. The base is a version tag, not pinned to a digest.
FROM docker.io/library/python:3.11-slim-bookworm

ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore UV_NO_CACHE=1
# git for the working copies; its version is the one of the base's Debian release
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends git openssh-client && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 2222 polyaxon && useradd --uid 2222 --gid 2222 --create-home polyaxon \
    && install --directory --owner=2222 --group=2222 /workspace
WORKDIR /workspace

# The dependencies, before the source (see train.Dockerfile for the accelerator)
ARG ACCELERATOR=cpu
COPY --chmod=0644 pyproject.toml requirements.txt ./
COPY --chmod=0755 src/mlops/platform/install.sh src/mlops/platform/uv.sh /opt/
RUN sh /opt/install.sh python data train test lint workspace bucket

COPY --chmod=0644 docker/jupyter_server_config.py /etc/jupyter/jupyter_server_config.py
COPY --chown=2222:2222 pyproject.toml schema.tom[l] ./
COPY --chown=2222:2222 src src
USER 2222:2222
EXPOSE 8888

ARG VERSION=""
ARG GIT_COMMIT=""
ARG GIT_DIRTY=""
ENV PYTHONPATH=/workspace/src MLOPS_COMMIT=${GIT_COMMIT} MLOPS_DIRTY=${GIT_DIRTY}
LABEL org.opencontainers.image.title="{{ cookiecutter.repo_name }}-jupyter" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${GIT_COMMIT}"
# No token here: JUPYTER_TOKEN comes from a secret, and without it Jupyter makes a token of its own.
CMD ["jupyter", "lab", "--ip=0.0.0.0", "--port=8888", "--no-browser"]
