# syntax=docker/dockerfile:1

ARG PYTHON=python:3.11-slim

FROM ${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /app
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
# Wheels only: nothing is compiled and nothing foreign runs during the build.
COPY requirements.txt ./
RUN pip install --quiet --only-binary :all: --require-hashes -r requirements.txt
# An editable install keeps the code where policies/ is found beside it, as in a checkout.
COPY . ./
RUN pip install --quiet --no-deps --no-build-isolation --config-settings editable_mode=compat -e . \
    && pip uninstall --quiet --yes setuptools pip \
    && rm -rf ./*.egg-info build \
    && python -m compileall -q /app

FROM ${PYTHON}
LABEL org.opencontainers.image.title="Aftersales" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 aftersales \
    && useradd --uid 10001 --gid aftersales --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin aftersales \
    && install --directory --owner aftersales --group aftersales --mode 0700 /var/lib/aftersales
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    AFTERSALES_DATA_DIR=/var/lib/aftersales
WORKDIR /app
USER aftersales
VOLUME ["/var/lib/aftersales"]
EXPOSE 8000
ENTRYPOINT ["aftersales"]
