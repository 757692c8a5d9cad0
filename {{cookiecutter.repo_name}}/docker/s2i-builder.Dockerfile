# The s2i builder: Python with the serving environment. The image of a model is this one with a bundle laid into it.
# Build with `make images IMAGES=s2i-builder`. The base is a version tag, not pinned to a digest.
FROM docker.io/library/python:3.11-slim-bookworm

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
# 1001 in group 0: the user for whom `s2i build --as-dockerfile` writes, and any other uid that a cluster gives can read.
RUN useradd --uid 1001 --gid 0 --create-home model \
    && install --directory --owner=1001 --group=0 --mode=0775 /microservice

# All that a model is served with, in a layer that every model shares
COPY --chmod=0644 serving-requirements.txt /s2i/serving-requirements.txt
RUN pip install --no-deps --require-hashes --requirement /s2i/serving-requirements.txt

COPY --chmod=0755 docker/s2i-builder /s2i/bin
# The smoke test's own copy: a bundle must not be judged by the code that it brings.
COPY --chmod=0755 src/mlops /s2i/lib/mlops
LABEL io.k8s.display-name="{{ cookiecutter.repo_name }}" \
      io.k8s.description="Serves a bundle of make package with seldon-core" \
      io.openshift.s2i.scripts-url="image:///s2i/bin" \
      io.openshift.s2i.destination="/tmp" \
      io.openshift.expose-services="9000:http"

USER 1001
WORKDIR /microservice
EXPOSE 9000 6000
ARG VERSION=""
ARG GIT_COMMIT=""
LABEL org.opencontainers.image.title="{{ cookiecutter.repo_name }}-s2i-builder" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${GIT_COMMIT}"
CMD ["/s2i/bin/usage"]
