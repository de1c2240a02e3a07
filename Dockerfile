# syntax=docker/dockerfile:1

# The environment is built where the tree will lie, so that the editable install finds it there.
FROM python:3.13-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /srv/ostiary
RUN python -m venv /opt/venv
# Dependencies change seldom, the application often: an empty package is enough to install them.
COPY pyproject.toml constraints.txt LICENSE ./
RUN mkdir app && touch app/__init__.py && \
    /opt/venv/bin/pip install --quiet --constraint constraints.txt --editable '.[otel]'

FROM python:3.13-slim
# PYTHONUNBUFFERED: the first admin's password and the log appear at once.
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOST=0.0.0.0 PORT=8000
WORKDIR /srv/ostiary
COPY --from=build /opt/venv /opt/venv
COPY alembic.ini pyproject.toml LICENSE ./
COPY migrations migrations
COPY templates templates
COPY app app
# The only place it may write to: the database and the generated key of a trial without PostgreSQL.
RUN useradd --system --uid 10001 --no-create-home --home-dir /nonexistent ostiary && \
    install --directory --owner ostiary --group ostiary --mode 0700 data
# By number, so that an orchestrator can see that it is not root.
USER 10001
VOLUME /srv/ostiary/data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f\"http://127.0.0.1:{os.environ['PORT']}/healthz\", timeout=4)"]
CMD ["ostiary", "serve"]
