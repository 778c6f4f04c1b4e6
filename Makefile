export PATH := $(CURDIR)/.venv/bin:$(PATH)
PYTHON ?= python3

.DEFAULT_GOAL := help
.PHONY: help setup repro test lint study benchmark

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup: .venv/ready  ## install the pinned requirements into .venv

.venv/ready: requirements.txt requirements-serving.txt
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --requirement requirements.txt
	touch $@

repro: setup  ## run the pipeline: fetch, clean, split, train, evaluate
	dvc repro

test: setup  ## run the tests
	python -m pytest

lint: setup  ## check style, types, and that dvc.lock, dvc.yaml and the code are in step
	ruff check .
	ruff format --check .
	mypy
	python -m tests.check_lock

study: setup  ## the model and the baselines over five folds, ablations, seeds, sizes, time: benchmarks/study-*.json
	dvc repro clean
	python -m benchmarks.study

benchmark: setup  ## throughput of training, collecting, reading and serving, pipeline times: benchmarks/*.json
	python -m benchmarks.collect
	python -m benchmarks.files
	python -m benchmarks.throughput
	python -m benchmarks.serving
	python -m benchmarks.pipeline
