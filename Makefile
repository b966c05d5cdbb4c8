# Every target makes the environment if it needs it: only Python and make have to be installed before.
PYTHON ?= python3
BIN := .venv/bin
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt

# The studies of docs/results; from a pilot of one epoch the plan knows how long they take on this machine.
STUDY := model=plain,dropout,bn_dropout,bn 'seed=range(6)'
TIMED := model=plain,dropout,bn_dropout,bn hardware.threads=1
SETTLE := hydra/sweeper=settle hydra.sweeper.max_seeds=40 study.margin=0.01
REASONS := dropout_kind dropout_rate dropout_place bn_place weight_decay optimizers
SHORT := 'seed=range(6)' train.epochs=10
PILOT = $(BIN)/python -m ablate study.name=pilot train.epochs=1 hardware.threads=1

.DEFAULT_GOAL := help
.PHONY: help demo study settle studies report test test-faults test-edits test-slurm test-ray test-store test-latex slurm chromium axe latex docs lint format bench clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/installed ## Sweep three variants over three seeds on embedded data, and report (about a minute)
	$(BIN)/python -m ablate -m study=demo
	$(BIN)/ablate report outputs/demo

study: .venv/installed ## Repeat docs/results/lenet_cifar10: four variants, six seeds, 50 epochs, and the cost of layers in time
	$(PILOT)
	$(BIN)/python -m ablate -m $(STUDY) hydra/launcher=plan
	$(BIN)/python -m ablate -m $(STUDY)
	-$(BIN)/ablate timing $(TIMED)
	$(BIN)/ablate report outputs/lenet_cifar10

settle: .venv/installed ## Settle the first study: seeds of 50 epochs until each claim of accuracy is decided (hours), in outputs/settled
	$(BIN)/python -m ablate -m study.name=settled $(SETTLE) hydra/launcher=plan
	$(BIN)/python -m ablate -m study.name=settled $(SETTLE)
	$(BIN)/ablate report outputs/settled

studies: study ## Repeat all of docs/results: the first study, and those that test its reasons
	for name in $(REASONS); do $(BIN)/python -m ablate -m study=$$name $(SHORT) hydra/launcher=plan; done
	for name in $(REASONS); do $(BIN)/python -m ablate -m study=$$name $(SHORT); done
	-$(BIN)/ablate timing study=bn_place hardware.threads=1
	-$(BIN)/ablate timing study=dropout_rate hardware.threads=1
	$(BIN)/ablate report

report: .venv/installed ## Write tables and plots of every study in outputs/
	$(BIN)/ablate report

test: .venv/installed-dev ## Run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist worksteal

test-faults: .venv/installed-dev ## Kill sweeps at 40 random instants, fill a disk, and damage records (about ten minutes)
	ABLATE_KILLS=40 ABLATE_EXAMPLES=300 $(BIN)/python -m pytest tests/test_faults.py tests/report/test_robustness.py

test-edits: .venv/installed-dev ## Hold 300 random networks with random edits against the same written by hand
	ABLATE_NETWORKS=300 OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto tests/models/test_random_networks.py

test-slurm: .venv/installed-dev slurm ## Start Slurm on this machine, sweep on it, and stop it
	ABLATE_CLUSTERS=1 $(BIN)/python -m pytest tests/clusters/test_slurm.py

test-ray: .venv/installed-dev ## Start a Ray cluster of two nodes on this machine, sweep on it, and stop it
	ABLATE_CLUSTERS=1 $(BIN)/python -m pytest tests/clusters/test_ray.py

test-store: .venv/installed-dev ## Start an S3 server on this machine, sweep into it, and stop it
	$(BIN)/python -m pytest tests/records/test_store.py

test-latex: .venv/installed-dev ## Compile a report's tables in an article of two columns, into build/latex (skipped without pdflatex)
	$(BIN)/python -m pytest -rs --basetemp=build/latex tests/report/output/test_latex.py

slurm: ## Install Slurm (Debian; as root or with sudo)
	@command -v slurmctld > /dev/null || { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq --no-install-recommends slurmctld slurmd slurm-client munge; }

chromium: ## Install the browser that the tests of the page drive (Debian; as root or with sudo)
	@command -v chromium > /dev/null || { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq --no-install-recommends chromium; }

axe: ## Fetch the checker of accessibility that a test runs on the page (axe-core, by npm)
	@test -f build/axe/package/axe.min.js || { mkdir -p build/axe && cd build/axe && npm pack --silent axe-core@4 > /dev/null && tar xzf axe-core-*.tgz; }

latex: ## Install the pdflatex that the tests of tables compile them with (Debian; as root or with sudo)
	@command -v pdflatex > /dev/null || { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq --no-install-recommends texlive-latex-base texlive-latex-recommended; }

lint: .venv/installed-dev ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/installed-dev ## Put the code into the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/installed-dev ## Measure an epoch and a sweep against peers, layers, a large report, and verdicts (an hour)
	$(BIN)/python benchmarks/epoch.py
	$(BIN)/python benchmarks/study.py
	$(BIN)/python benchmarks/timing.py
	$(BIN)/python benchmarks/scale.py
	$(BIN)/python benchmarks/verdicts.py

docs: .venv/installed-dev ## Build the site of the documentation into build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

clean: ## Remove the environment and caches, but no run
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11, 4) and "ablate needs Python 3.11.4 or newer; name one with: make PYTHON=/path/to/python")'
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml constraints.txt | .venv/bin/python
	@echo "Installing ablate and what it needs into .venv (some minutes the first time)"
	$(PIP) --editable .
	@touch $@

.venv/installed-dev: pyproject.toml constraints.txt | .venv/bin/python
	@echo "Installing ablate, what it needs, and what tests and checks need into .venv (some minutes the first time)"
	$(PIP) --editable '.[dev]'
	@touch .venv/installed $@
