# One image for API, workers and builder. The embedded MongoDB is left out: docker-compose.yml runs a server.
FROM python:3.11-slim-bookworm

# Where torch comes from; give the index of its CPU builds for a small image: --build-arg TORCH_INDEX_URL=...
ARG TORCH_INDEX_URL=

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    OMP_NUM_THREADS=1

WORKDIR /opt/sse-screen
COPY constraints.txt ./
RUN pip install --constraint constraints.txt ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} torch

COPY pyproject.toml README.md LICENSE ./
COPY sse_screen sse_screen
COPY workflows workflows
COPY builders builders
COPY api api
RUN pip install --constraint constraints.txt .
COPY campaigns campaigns

RUN useradd --create-home --uid 1000 sse && mkdir /work && chown sse:sse /work
USER sse
WORKDIR /work
ENV SSE_SCREEN_DATA_DIRECTORY=/work/data SSE_SCREEN_WORK_DIRECTORY=/work/scratch HOME=/home/sse \
    MPLCONFIGDIR=/tmp/matplotlib NUMBA_CACHE_DIR=/tmp/numba XDG_CACHE_HOME=/tmp/cache

ENTRYPOINT ["sse-screen"]
CMD ["--help"]
