# make demo   install, and run the whole pipeline on the embedded phantom
# make test   install, and run every test
# make test-slow   the long tests: every case against every command, fifty kills a command
# make lab    install, and open JupyterLab at the first notebook
# make export write package and README from the notebooks
# make pages  run every page and keep its outputs; SLOW=1 for the long versions
# make bench  install, and run the benchmarks; their pages keep the tables (BENCH="nbs/benchmarks/load.ipynb": only these)
# make docs   install, and build the site into _docs/html, without a network
# CPU=1       take PyTorch's CPU build (about 1 GB in place of 6)

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
CPU_INDEX := https://download.pytorch.org/whl/cpu

.PHONY: demo test test-slow lab export pages docs bench

demo: $(VENV)/.installed
	@$(BIN)/lumbar_seg demo

test: $(VENV)/.installed
	$(BIN)/python .ci/checks.py

test-slow: $(VENV)/.installed
	$(BIN)/python .ci/checks.py --slow

lab: $(VENV)/.installed
	$(BIN)/lumbar_seg lab nbs/index.ipynb

export: $(VENV)/.installed
	$(BIN)/python .ci/checks.py --fix

pages: $(VENV)/.installed
	SLOW=$(SLOW) $(BIN)/python .ci/checks.py --pages

docs: $(VENV)/.installed
	$(BIN)/python .ci/docs.py

BENCH ?= nbs/benchmarks/*.ipynb
bench: $(VENV)/.installed
	TQDM_DISABLE=1 $(BIN)/jupyter nbconvert --to notebook --execute --inplace --ExecutePreprocessor.timeout=-1 $(BENCH)
	$(BIN)/nbdev_clean

$(VENV)/.installed: settings.ini setup.py pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "lumbar_seg needs Python 3.10 or newer; try: make PYTHON=python3.12 ...")'
	@$(PYTHON) -m venv $(VENV)
	@echo 'Installing into $(VENV) (a few minutes the first time)'
	@$(BIN)/python -m pip install --quiet --upgrade pip
	@$(if $(CPU),$(BIN)/python -m pip install --quiet torch torchvision --index-url $(CPU_INDEX))
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet -e '.[dev]'
	@$(BIN)/python -c 'import torchvision, lumbar_seg.models' 2>/dev/null || { echo 'torch and torchvision do not fit together, or are not whole. Remove $(VENV), and try again, or name another CPU_INDEX.'; exit 1; }
	@touch $@
