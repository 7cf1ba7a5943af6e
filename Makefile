# Trireme. `make` prints the targets; CONFIG, TRIREME_ROOT and TRIREME_PORT_BASE choose data set, folder and ports.
.DEFAULT_GOAL := help
.PHONY: help setup doctor run pipeline backend backend-if-possible race-backend horovod update etl train export up down mlflow prometheus status learn load bench-etl bench-train bench-quality bench-serving test check format drill-gate drill-serving test-train test-serve

CONFIG ?= configs/completejourney.toml
SERVE := .venv/bin/python
TRAIN := .venv-train/bin/python
PYTHON := $(firstword $(wildcard $(SERVE)) $(shell command -v python3.11 python3))
UV := $(or $(shell command -v uv),.uv/bin/uv)
HOROVOD := 0.28.1
TENSORFLOW := $(shell sed -n 's/.*"tensorflow-cpu==\(.*\)".*/\1/p' pyproject.toml)
HOROVOD_CACHE := $(HOME)/.cache/trireme/horovod-$(HOROVOD)-tensorflow-$(TENSORFLOW)
SET_UP := .venv-train/.set-up .venv/.set-up
export PYTHONUNBUFFERED := 1

help:  ## Print the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  %-20s %s\n", $$1, $$2 }'

setup: $(SET_UP)  ## Make both environments (.venv-train and .venv) from uv.lock

# What setup says goes to standard error: the last line of `make run` on standard output is the result.
.venv-train/.set-up: uv.lock pyproject.toml
	@command -v $(UV) >/dev/null || python3.11 -m pip install --quiet --target .uv uv >&2
	UV_PROJECT_ENVIRONMENT=.venv-train $(UV) sync --frozen --extra train --group dev >&2
	@touch $@

.venv/.set-up: uv.lock pyproject.toml | .venv-train/.set-up
	UV_PROJECT_ENVIRONMENT=.venv $(UV) sync --frozen --extra serve --group dev --group check >&2
	@# Triton's python models ignore PYTHONPATH: this file lets them find the repository.
	@pwd > .venv/lib/python3.11/site-packages/trireme.pth
	@touch $@

doctor:  ## List what this machine lacks, each with the line that installs it
	@$(PYTHON) -m deploy doctor $(CONFIG)

run: setup backend-if-possible  ## Data, training, release, stack, "see it learn": everything; leaves the stack up
	@$(SERVE) -m deploy run $(CONFIG)

pipeline: setup  ## Raw data to a promoted release
	@$(SERVE) -m deploy pipeline $(CONFIG)

# Built once, ten minutes or so: the wheel is kept, and put back in a second after an environment was made anew.
# On GPUs: HOROVOD_GPU_OPERATIONS=NCCL make horovod, of which nothing has been run.
horovod: setup  ## Build Horovod into .venv-train, for `train run --ranks N`
	@UV_CACHE_DIR=$(HOROVOD_CACHE) PATH="$(CURDIR)/.venv-train/bin:$$PATH" CXXFLAGS="-include cstdint" MAKEFLAGS=-j2 \
	  HOROVOD_WITH_TENSORFLOW=1 HOROVOD_WITH_GLOO=1 HOROVOD_WITHOUT_MPI=1 HOROVOD_WITHOUT_PYTORCH=1 HOROVOD_WITHOUT_MXNET=1 \
	  $(UV) pip install --python $(TRAIN) --no-deps --no-build-isolation --no-binary horovod horovod==$(HOROVOD) >&2

update: setup  ## The newest events, the cut having been moved, to a promoted release: small steps of training
	@$(SERVE) -m deploy update $(CONFIG)

etl: setup  ## Raw logs to trusted events, features and training rows
	@$(TRAIN) -m etl run $(CONFIG)

export: setup  ## Models to a release, and the release into triton_repo/
	@$(SERVE) -m ensemble export $(CONFIG) --fill

# Needs g++; without it the python steps serve, which answer the same at five to six times the CPU.
backend: setup  ## The C++ backend: the four steps as one model of Triton's
	@nice $(MAKE) --no-print-directory -j2 -C ensemble/backend

backend-if-possible: setup  ## The same where g++ is at hand; says so where it is not
	@if command -v g++ >/dev/null; then $(MAKE) --no-print-directory backend >&2 \
	  || echo "the C++ backend could not be built: the python steps serve" >&2; \
	  else echo "no g++ is at hand: the python steps serve (make doctor)" >&2; fi

# Not part of `make test`: building it takes minutes.
race-backend: setup  ## The C++ backend's tests with ThreadSanitizer instead of AddressSanitizer: some ten minutes
	@TRIREME_SANITIZE=thread $(SERVE) -m pytest tests/ensemble/backend --ignore tests/ensemble/backend/test_triton.py

up: setup backend-if-possible  ## Start the stack
	@$(SERVE) -m deploy up $(CONFIG)

learn: setup  ## See it learn, against the running stack
	@$(SERVE) -m deploy learn $(CONFIG)

load: setup  ## Throughput by concurrency (perf_analyzer), against the running stack
	@UV_PROJECT_ENVIRONMENT=.venv-load $(UV) sync --quiet --frozen --extra load >&2
	@$(SERVE) -m loadtest perf $(CONFIG)

# BENCH="--skip pyspark --rows 1000000 --small 0 --large 0" and the like make it shorter; see its --help.
bench-etl: setup  ## The etl against polars, pandas and PySpark on millions of rows: some half an hour
	@UV_PROJECT_ENVIRONMENT=.venv-bench $(UV) sync --quiet --frozen --extra bench >&2
	@$(SERVE) -m tests.benchmarks.etl $(BENCH)

# BENCH="--only completejourney --root var/elsewhere" and the like choose; see its --help.
# After `make pipeline`: it reads that data set's rows and candidates.
bench-train: setup  ## Samples a second against plain Keras, seconds to LightFM's quality
	@$(TRAIN) -m tests.benchmarks.train $(CONFIG) $(BENCH)

bench-quality: setup  ## The whole chain and tuned baselines by four protocols, against what is asked: some half an hour
	@$(SERVE) -m tests.benchmarks.quality $(BENCH)

# After `make pipeline` and `make backend`; BENCH="--quick" and the like make it shorter; see its --help.
bench-serving: setup  ## tritonserver against FastAPI on the same files: some ten minutes, on an otherwise idle machine
	@UV_PROJECT_ENVIRONMENT=.venv-load $(UV) sync --quiet --frozen --extra load >&2
	@UV_PROJECT_ENVIRONMENT=.venv-peer $(UV) sync --quiet --frozen --extra peer >&2
	@$(SERVE) -m tests.benchmarks.serving $(CONFIG) $(BENCH)

drill-gate: setup  ## Train on shuffled labels, and see the gate refuse the release: minutes, on the smoke data
	@$(SERVE) -m tests.drills.gate

# seed=7, rate=200, only=redis,hang choose; see its --help.
drill-serving: setup backend-if-possible  ## What serving survives: faults under load, hostile requests; a stack of its own, some 12 minutes
	@$(SERVE) -m tests.drills.serving $(if $(seed),--seed $(seed)) $(if $(rate),--rate $(rate)) $(if $(only),--only $(only))

# PORT=5000 and the like; without, a port that is free.
mlflow: setup  ## MLflow's pages on the runs of CONFIG's trainings
	@UV_PROJECT_ENVIRONMENT=.venv-ui $(UV) sync --quiet --frozen --extra ui >&2
	@$(TRAIN) -m train ui $(CONFIG) --program .venv-ui/bin/mlflow --port $(or $(PORT),0)

prometheus: setup  ## Prometheus' pages on the running stack (apt-get install prometheus)
	@$(SERVE) -m deploy prometheus $(CONFIG)

status: setup  ## What runs, on which port, since when
	@$(SERVE) -m deploy status $(CONFIG)

down: setup  ## Stop all that was started here, and only that
	@$(SERVE) -m deploy down $(CONFIG)

test: test-train test-serve  ## Everything that proves it

test-train: setup  ## The tests of etl and train, in their environment
	$(TRAIN) -m pytest tests/etl tests/train

test-serve: setup  ## All other tests
	$(SERVE) -m pytest tests --ignore tests/etl --ignore tests/train

check: setup  ## Lint, types, architecture, drift of generated files, size budget
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/pyright
	.venv/bin/pyright -p pyright-train.json
	.venv/bin/lint-imports
	$(SERVE) -m ensemble configs --check
	$(SERVE) -m streaming schemas --check
	$(SERVE) -m pytest -q tests/architecture

format: setup  ## Format the sources and mend what ruff can
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .
	.venv/bin/clang-format -i ensemble/backend/*.cc ensemble/backend/*.h
