# Two commands matter: `make demo` runs the main job, `make test` passes the tests. Each makes its own environment.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
STAMP = $(VENV)/.installed

.PHONY: demo test check fuzz format clean

demo: $(STAMP)
	$(BIN)/dacycle demo --workdir demo-work

test: $(STAMP)
	$(BIN)/python -m pytest

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Hostile bytes for the readers of soundings, listings and zips, for so many seconds; atheris has wheels for CPython on Linux.
SECONDS ?= 1800
fuzz: $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test,fuzz]'
	PYTHONPATH=. $(BIN)/python -m tests.fuzz.run --seconds $(SECONDS) --work fuzz-work

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade --constraint constraints.txt pip setuptools wheel
	$(BIN)/python -m pip install --constraint constraints.txt --editable '.[test,dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist demo-work fuzz-work .pytest_cache .mypy_cache .ruff_cache
