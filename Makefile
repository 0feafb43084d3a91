.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadscope
INSTALLED := .venv/installed

.PHONY: help setup demo test test-benchmarks test-browser lint types check bench accuracy selection transfer clean

help:  ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup: $(INSTALLED)  ## make .venv with everything in it

# uv installs this stack three times as fast as pip; without --compile-bytecode every import would be slow.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Segue needs Python 3.11 or newer: make PYTHON=python3.12 …")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	$(BIN)/uv pip install --python $(BIN)/python --quiet --compile-bytecode --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: setup  ## train on generated streets, fall on another look, adapt; a table and a picture in about three minutes
	$(BIN)/lightning demo

test: setup  ## run the tests
	$(PYTEST) -m "not alone and not browser" --ignore tests/benchmarks
	$(BIN)/python -m pytest -m alone

test-benchmarks: setup  ## run the benchmarks at tiny sizes, and the tests of their arithmetic
	$(PYTEST) tests/benchmarks

test-browser: setup  ## click through the page of `lightning compare` in a headless Chromium, where there is one
	$(BIN)/python -m pytest -m browser

lint: setup  ## check style and spelling
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/codespell $$(git ls-files)

types: setup  ## check types
	$(BIN)/mypy

check: lint types test test-benchmarks  ## all of the above checks

bench: setup  ## measure speed; prints tables and writes benchmarks/results
	$(BIN)/python -m benchmarks.speed

accuracy: setup  ## measure accuracy on pairs under data/, some hours; stop it and it goes on where it was
	$(BIN)/python -m benchmarks.accuracy

selection: setup  ## show which score chooses a good checkpoint without target labels, on the runs of make accuracy
	$(BIN)/python -m benchmarks.selection

transfer: setup  ## do the scores of lightning rank foretell short fine-tunings? stop it and it goes on where it was
	$(BIN)/python -m benchmarks.transfer

clean:  ## remove the environment and what tools left
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache build *.egg-info
