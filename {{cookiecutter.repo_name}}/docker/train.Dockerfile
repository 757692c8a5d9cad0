# Training, on CPU (default) or on an NVIDIA GPU: make images IMAGES=train ACCELERATOR=cuda
# It also asks the Polyaxon API for the best run and makes the bundle. The base is a version tag, not pinned to a digest.
FROM docker.io/library/python:3.11-slim-bookworm

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore UV_NO_CACHE=1
RUN groupadd --gid 2222 polyaxon && useradd --uid 2222 --gid 2222 --create-home polyaxon \
    && install --directory --owner=2222 --group=2222 /workspace
WORKDIR /workspace

# The dependencies, before the source (see data-prep.Dockerfile). For the version of torch in pyproject.toml, the CPU index
# has a wheel of 200 MB and PyPI the CUDA one, with CUDA's libraries in it: a GPU node brings only its driver.
ARG ACCELERATOR=cpu
COPY --chmod=0644 pyproject.toml requirements.txt ./
COPY --chmod=0755 src/mlops/platform/install.sh src/mlops/platform/uv.sh /opt/
RUN sh /opt/install.sh python data train bucket

COPY --chown=2222:2222 pyproject.toml serving-requirements.txt serving.env schema.tom[l] ./
COPY --chown=2222:2222 src src
USER 2222:2222

# Last, because they change with every commit. A run records them.
ARG VERSION=""
ARG GIT_COMMIT=""
ARG GIT_DIRTY=""
ENV PYTHONPATH=/workspace/src MLOPS_COMMIT=${GIT_COMMIT} MLOPS_DIRTY=${GIT_DIRTY}
LABEL org.opencontainers.image.title="{{ cookiecutter.repo_name }}-train" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${GIT_COMMIT}"
CMD ["python", "-m", "{{ cookiecutter.src_package_name }}", "train", "--help"]
