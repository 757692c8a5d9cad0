# Data preparation. It needs no torch: the data file is written without.
# Build with `make images`. The base is a version tag of a supported release, not pinned to a digest.
FROM docker.io/library/python:3.11-slim-bookworm

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore UV_NO_CACHE=1
RUN groupadd --gid 2222 polyaxon && useradd --uid 2222 --gid 2222 --create-home polyaxon \
    && install --directory --owner=2222 --group=2222 /workspace
WORKDIR /workspace

# The dependencies alone, so that an edit of the source installs nothing again
COPY --chmod=0644 pyproject.toml requirements.txt ./
COPY --chmod=0755 src/mlops/platform/install.sh src/mlops/platform/uv.sh /opt/
RUN sh /opt/install.sh python data

# schema.toml is there once the data was prepared; the brackets let it be missing.
COPY --chown=2222:2222 pyproject.toml schema.tom[l] ./
COPY --chown=2222:2222 src src
USER 2222:2222

# Last, because they change with every commit. The program records them with what it makes.
ARG VERSION=""
ARG GIT_COMMIT=""
ARG GIT_DIRTY=""
ENV PYTHONPATH=/workspace/src MLOPS_COMMIT=${GIT_COMMIT} MLOPS_DIRTY=${GIT_DIRTY}
LABEL org.opencontainers.image.title="{{ cookiecutter.repo_name }}-data-prep" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${GIT_COMMIT}"
CMD ["python", "-m", "{{ cookiecutter.src_package_name }}", "prepare", "--help"]
