export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Else each of the hundreds of processes that the tests start would compile the library again.
unexport PYTHONDONTWRITEBYTECODE
PYTHON ?= python3
# pip would compile the packages in one process; compileall takes all cores, and a package may hold files of other Pythons.
PIP := .venv/bin/python -m pip install --quiet --no-compile --constraint constraints.txt
COMPILE := .venv/bin/python -m compileall -qq -j 0 .venv/lib || true
WORKERS ?= 2
# Each file is run by one process, which builds the fixtures of its module once; tests/conftest.py sorts the files.
PYTEST := python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help setup setup-all repro test test-fast check lint fmt constraints wheel notebook study benchmark

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup: .venv/ready  ## install the pinned requirements into .venv; CPU_INDEX=URL: torch from that package index

.venv/ready: requirements.txt requirements-serving.txt requirements-dev.txt constraints.txt
	$(PYTHON) -m venv .venv
	$(if $(CPU_INDEX),$(PIP) --no-deps --index-url "$(CPU_INDEX)" torch)
	$(PIP) --requirement requirements-dev.txt
	$(COMPILE)
	touch $@

setup-all: setup  ## setup, and what Ray, remotes on S3 and bf16 need
	$(PIP) --requirement requirements-ray.txt --requirement requirements-s3.txt --requirement requirements-bf16.txt
	$(COMPILE)

repro: setup  ## run the pipeline: fetch, clean, history, explore, split, baseline, train, export, evaluate, audit, report
	dvc repro

test: setup  ## run all tests, in WORKERS=2 processes
	$(PYTEST)

test-fast: setup  ## run the tests that are not marked slow: about half of the time of test
	$(PYTEST) -m "not slow"

check: lint test-fast  ## lint and test-fast: run this before each commit

lint: setup  ## check style, types, imports, links, generated tables, and that dvc.lock is in step with the code
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	check-jsonschema --builtin-schema custom.github-workflows-require-timeout .github/workflows/*.yml
	check-jsonschema --builtin-schema vendor.github-actions .github/actions/*/action.yml
	check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	check-jsonschema --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/bug.yml .github/ISSUE_TEMPLATE/idea.yml
	check-jsonschema --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	check-jsonschema --builtin-schema vendor.compose-spec compose.yaml
	python -m tests.check_lock
	python -m tests.check_links
	python -m benchmarks.pages --check

fmt: setup  ## format the code and apply ruff's safe fixes
	ruff check --fix .
	ruff format .

# torch's CUDA packages are left out: only the CUDA build of torch needs these packages, and pins them itself.
constraints: setup  ## pin what the requirements need in constraints.txt; UV_ARGS=--upgrade: in the newest versions
	uv pip compile --quiet --universal --python-version 3.11 --annotation-style line $(UV_ARGS) \
		--custom-compile-command "make constraints" --output-file constraints.txt \
		requirements-dev.txt requirements-ray.txt requirements-s3.txt requirements-bf16.txt requirements-gpu.txt
	sed -E '/^nvidia-ml-py=/!{/^(cuda|nvidia|triton)[-=]/d;}' constraints.txt > constraints.txt.new
	mv constraints.txt.new constraints.txt

wheel: setup  ## build the wheel of movie_ratings and serving in dist/
	pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

notebook: setup  ## run docs/notebook.ipynb, which reads the outputs of repro, and store its tables and pictures in it
	python -m benchmarks.notebook

study: setup  ## compare model and baselines over five folds, hours: benchmarks/results/study-*.json
	dvc repro clean
	python -m benchmarks.study

benchmark: setup  ## measure training, collecting, reading, serving and the pipeline: benchmarks/results/*.json
	python -m benchmarks.collect
	python -m benchmarks.files
	python -m benchmarks.imdb --rows 5000000
	python -m benchmarks.throughput
	python -m benchmarks.serving
	python -m benchmarks.bulk
	python -m benchmarks.log
	python -m benchmarks.curator
	python -m benchmarks.pipeline
