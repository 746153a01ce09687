# The sweeps command with all that trains:
#   docker build -f docker/worker.Dockerfile -t sweeps-worker .
#   docker build -f docker/worker.Dockerfile -t sweeps-worker-gpu --build-arg DEVICE=gpu .
# It runs as user 10001 and needs to write nowhere but in /tmp and, if they are kept there, in /artifacts.
ARG BASE=python:3.12.12-slim-bookworm

# hadolint ignore=DL3006
FROM ${BASE} AS wheel
WORKDIR /source
RUN python3 -m venv /build
COPY pyproject.toml README.md LICENSE ./
COPY sweeps sweeps
COPY sweeps_command sweeps_command
RUN --mount=type=cache,target=/root/.cache/pip /build/bin/pip wheel --no-deps --wheel-dir /wheels .

# hadolint ignore=DL3006
FROM ${BASE}
# tini is process 1: it passes signals on to sweeps and reaps what orphans leave.
RUN apt-get update \
    && apt-get install -y --no-install-recommends "tini=0.19.0-*" \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 sweeps \
    && useradd --uid 10001 --gid 10001 --home-dir /tmp --no-create-home --shell /usr/sbin/nologin sweeps \
    && install -d -o 10001 -g 10001 /artifacts /work
# What the project needs comes first, without the project, whose changes then make a small layer.
WORKDIR /usr/local/share/sweeps
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY sweeps/version.py sweeps/version.py
ARG DEVICE=cpu
# pip stays, for images that add to this one what a net or data set of yours needs.
RUN --mount=type=cache,target=/root/.cache/pip \
    case "$DEVICE" in \
        cpu) needs=train ;; \
        gpu) needs=gpu ;; \
        *) echo "DEVICE=$DEVICE: write cpu or gpu" >&2; exit 2 ;; \
    esac \
    && python3 -m venv /opt/sweeps \
    && /opt/sweeps/bin/pip install --constraint constraints.txt ".[$needs,postgresql,mysql,s3,gs]"
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    /opt/sweeps/bin/pip install --no-cache-dir --no-deps --no-index --force-reinstall /wheels/*.whl

# Whatever is cached (compiled kernels, fonts) goes below HOME: the root may be read-only.
ENV PATH=/opt/sweeps/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# What NVIDIA's container toolkit hands in where there is a GPU; nothing looks at it elsewhere.
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
LABEL org.opencontainers.image.title="sweeps worker" \
      org.opencontainers.image.description="Hyperparameter sweeps for deep image classifiers that refuse to learn" \
      org.opencontainers.image.licenses="MIT"
USER 10001:10001
# Your own nets, files of search spaces and data are found here.
WORKDIR /work
# No HEALTHCHECK: the store knows which workers are alive, by their beats, and the others act on it.
ENTRYPOINT ["tini", "--", "sweeps"]
CMD ["worker"]
