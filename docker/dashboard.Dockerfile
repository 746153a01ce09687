# The sweeps command without what only training needs, to serve the dashboard:
#   docker build -f docker/dashboard.Dockerfile -t sweeps-dashboard .
# It listens to whoever reaches it and has no password: see compose.yaml for the proxy before it.
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
RUN --mount=type=cache,target=/root/.cache/pip \
    python3 -m venv /opt/sweeps \
    && /opt/sweeps/bin/pip install --constraint constraints.txt ".[postgresql,mysql,s3,gs]"
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    /opt/sweeps/bin/pip install --no-cache-dir --no-deps --no-index --force-reinstall /wheels/*.whl

ENV PATH=/opt/sweeps/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
LABEL org.opencontainers.image.title="sweeps dashboard" \
      org.opencontainers.image.description="Optuna's dashboard on the studies of sweeps" \
      org.opencontainers.image.licenses="MIT"
USER 10001:10001
WORKDIR /work
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s \
    CMD ["python3", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8080/api/meta', timeout=5)"]
ENTRYPOINT ["tini", "--", "sweeps"]
CMD ["dashboard", "--host", "0.0.0.0"]
