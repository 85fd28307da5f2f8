# One definition of each check, used alike by people and CI. Checks read; only `make fmt` writes code.

SHELL := /bin/bash
PYTHON ?= python3
PY := .venv/bin/python
INSTALLED := .venv/installed

.DEFAULT_GOAL := help
.PHONY: help demo test check smoke verify bench install engines data figures report lint types fmt clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

demo: data ## Install, fetch the data, measure the CNN of Figure 1 and three worlds of Figure 2
	@$(PY) -m experiments.run experiment=fig1_cnn
	@$(PY) -m experiments.run experiment=demo_text
	@$(PY) -m experiments.report

test: lint types ## Install, fetch the data, run every check and test but the long proofs
	@$(PY) -m experiments.fetch || [ -z "$$CI" ]  # without data the tests that need it are skipped; CI needs it
	@$(PY) -m pytest -n 2 --dist loadfile -m "not verify"

check: lint types ## Lint, types and fast tests, in under 3 minutes
	@$(PY) -m pytest -n 2 --dist loadfile -m "not slow and not verify"

smoke: install ## One small run of images and one of texts, in a folder of its own, in under a minute
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
	  $(PY) -m experiments.run experiment=smoke outputs="$$folder" && \
	  $(PY) -m experiments.run experiment=smoke_text outputs="$$folder"

verify: data engines ## The long proofs: calibration of the statistics, sweeps whose workers are killed
	@$(PY) -m pytest -m verify

bench: data .venv/bench ## Time the engine beside other ways to the same numbers, in 17 minutes; CASES=cnn for some
	@$(PY) -m tests.bench $(CASES)

.venv/bench: $(INSTALLED)
	@$(PY) -m pip install -q -c constraints.txt -e ".[bench]"
	@touch $@

install: $(INSTALLED) ## Install into .venv what constraints.txt pins

$(INSTALLED): pyproject.toml constraints.txt | .venv/bin/pip
	@$(PY) -m pip install -q -c constraints.txt -e ".[dev,text]"
	@touch $@

engines: .venv/engines ## Install what else sweeps can use: Ray and Optuna

# Hydra's launcher for Ray wants an older cloudpickle than joblib does, for AWS, which is not used here.
.venv/engines: $(INSTALLED)
	@$(PY) -m pip install -q -c constraints.txt -e ".[ray,optuna]"
	@$(PY) -m pip install -q -c constraints.txt --no-deps hydra-ray-launcher
	@touch $@

# pip comes last into a new environment, so that an interrupted one is made again.
.venv/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "expected Python 3.11 or newer, got $$($(PYTHON) --version 2>&1 || true); name one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "expected Python's venv module, got none in $(PYTHON); install it (Debian: python3-venv) or name another Python: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv .venv

data: install ## Fetch MNIST and FashionMNIST into outputs/data
	@$(PY) -m experiments.fetch

figures: install ## Draw the paper's figures from the finished runs
	@$(PY) -m experiments.figures

report: install ## One static site of all saved runs: outputs/report/index.html
	@$(PY) -m experiments.report

lint: install
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

types: install
	@$(PY) -m mypy

fmt: install ## Format the code and mend what lint can mend
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

clean: ## Remove the environment and caches, never outputs/
	@rm -rf .venv .mypy_cache .pytest_cache .ruff_cache
