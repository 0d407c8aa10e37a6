# Each target installs what it needs in .venv first.
PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
DATA   ?= $(or $(MASTREAM_FOLDER),data)
PORT   ?= $(or $(MASTREAM_PORT),8000)
WORKERS ?= 3
VARIANT ?= cpu
# A docker client is no use without its daemon.
ENGINE  ?= $(shell docker info >/dev/null 2>&1 && echo docker || command -v podman || command -v buildah)
# The health check is not part of OCI's format, which podman and buildah use by default.
FORMAT   = $(if $(filter podman buildah,$(notdir $(ENGINE))),--format docker)
REVISION = $(shell git rev-parse HEAD 2>/dev/null || echo unknown)

.PHONY: serve test lint format bench setup image image-check compose-check audit clean
.DEFAULT_GOAL := help

help:
	@echo "make serve         serve the shipped model at http://127.0.0.1:$(PORT)"
	@echo "make setup         install everything a developer needs in $(VENV)"
	@echo "make test          run all tests in $(WORKERS) processes"
	@echo "make lint          run ruff, mypy --strict and import-linter"
	@echo "make format        format the code and fix what ruff can fix"
	@echo "make bench         run the benchmarks"
	@echo "make image         build the container image mastream:cpu; with VARIANT=gpu mastream:gpu"
	@echo "make image-check   build the CPU image on a bare Debian and test it; needs root"
	@echo "make compose-check run docker-compose.yml with podman and test it; needs root"
	@echo "make audit         look for known vulnerabilities in the locked packages, and write an SBOM"
	@echo "make clean         remove $(VENV) and the caches"

serve: $(VENV)/.serve
	$(BIN)/mastream serve --port $(PORT) --data $(DATA)

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks

image:
	@test -n "$(ENGINE)" || { echo "make image: Install docker (and start it), podman or buildah." >&2; exit 2; }
	$(ENGINE) build $(FORMAT) -f docker/Dockerfile --build-arg VARIANT=$(VARIANT) \
	  --build-arg REVISION=$(REVISION) -t mastream:$(VARIANT) .

image-check: $(VENV)/.serve
	PYTHON=$(BIN)/python docker/check

compose-check: $(VENV)/.dev
	PYTHON=$(BIN)/python docker/compose-check

audit: $(VENV)/.audit
	for one in cpu gpu; do \
	  $(BIN)/cyclonedx-py requirements docker/requirements-$$one.txt --pyproject pyproject.toml \
	    --output-file sbom-$$one.json && \
	  $(BIN)/pip-audit --strict --disable-pip --require-hashes -r docker/requirements-$$one.txt || exit; \
	done

setup: $(VENV)/.dev

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.serve: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	@touch $@ $(VENV)/.serve

$(VENV)/.audit: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[audit]"
	@touch $@ $(VENV)/.serve

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache
