# Three images from one file: the verifier, the attester (a workload's side) and a machine with a software TPM.
# The base image is a variable, so that a machine without a registry can put its own in its place.
ARG VAB_PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${VAB_PYTHON_IMAGE} AS build
RUN python3 -m venv /opt/uv && /opt/uv/bin/pip install --no-cache-dir uv==0.13.9
ENV UV_PYTHON_DOWNLOADS=never \
    UV_PROJECT_ENVIRONMENT=/opt/vab \
    UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_NO_CACHE=1
WORKDIR /src
COPY pyproject.toml uv.lock ./

# What the lock file names comes first: a change of our own code then costs seconds.
FROM build AS build-verifier
RUN /opt/uv/bin/uv sync --frozen --no-dev --no-install-project --extra verifier
COPY README.md LICENSE ./
COPY attester attester
COPY verifier verifier
RUN /opt/uv/bin/uv sync --frozen --no-dev --no-editable --extra verifier

FROM build AS build-attester
# tpm2-pytss comes as source and is built against the TSS that it will run with.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends gcc libc6-dev libtss2-dev pkg-config \
 && rm -rf /var/lib/apt/lists/*
RUN /opt/uv/bin/uv sync --frozen --no-dev --no-install-project --extra attester --extra tpm2
COPY README.md LICENSE ./
COPY attester attester
COPY verifier verifier
RUN /opt/uv/bin/uv sync --frozen --no-dev --no-editable --extra attester --extra tpm2

FROM ${VAB_PYTHON_IMAGE} AS verifier
RUN groupadd --gid 10001 vab && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin vab
COPY --from=build-verifier /opt/vab /opt/vab
ENV PATH=/opt/vab/bin:$PATH PYTHONUNBUFFERED=1
USER vab
ENTRYPOINT ["verifier"]

FROM ${VAB_PYTHON_IMAGE} AS attester
RUN apt-get update \
 && apt-get install --yes --no-install-recommends \
      libtss2-esys-3.0.2-0 libtss2-fapi1 libtss2-mu0 libtss2-rc0 libtss2-tcti-device0 libtss2-tcti-swtpm0 \
      libtss2-tctildr0 \
 && rm -rf /var/lib/apt/lists/*
RUN groupadd --gid 10001 vab && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin vab
COPY --from=build-attester /opt/vab /opt/vab
ENV PATH=/opt/vab/bin:$PATH PYTHONUNBUFFERED=1
USER vab
ENTRYPOINT ["attester"]

# A machine for the workload, where there is none with a TPM: the attester, to ask the TPM what it is, and the TPM.
FROM attester AS machine
USER root
RUN apt-get update \
 && apt-get install --yes --no-install-recommends swtpm swtpm-tools tpm2-tools \
 && rm -rf /var/lib/apt/lists/*
USER vab
