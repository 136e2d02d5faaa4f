# Everything starts here: `make` lists the targets. Needs Python 3.11; builds its own environment in .venv.
.DEFAULT_GOAL := help
.PHONY: help env compare figures figures-full test coverage mutants validate accept verdicts lint bench bench-peers lab site data clean lock audit
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

PY := .venv/bin/python
STAMP := .venv/.stamp
LAB_SETTINGS := .venv/share/jupyter/lab/settings/overrides.json
# Jupyter's server, left alone, warns about its own defaults.
QUIET_PINGS := --ServerApp.tornado_settings='{"ws_ping_timeout": 30000}'
ONLY ?=

# One thread per process: as many processes as cores run side by side, and the bits do not depend on the machine.
THREADS := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
HEADLESS := $(THREADS) MPLBACKEND=Agg PYTHONHASHSEED=0

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' Makefile

env: $(STAMP) ## build .venv, or bring it up to date (one to four minutes; nothing to do the second time)

$(STAMP): requirements.lock pyproject.toml
	@PYTHON="$(PYTHON)" bash scripts/env.sh

compare: $(STAMP) ## check a method of your own and compare it with the table's (METHOD=path/to/file.py:Name)
	@test -n "$(METHOD)" || { echo "Say which method: make compare METHOD=notebooks/my_method.py:DelayCompensated"; exit 2; }
	@$(HEADLESS) $(PY) -m asgd_lib.cli contest $(METHOD) $(ARGS)

figures: $(STAMP) ## run all notebooks at their quick size into results/quick (ONLY="00 03" for some)
	@$(HEADLESS) $(PY) scripts/figures.py --preset quick $(ONLY)

figures-full: $(STAMP) ## the same at the papers' scale into results/full; goes on where it stopped
	@$(HEADLESS) $(PY) scripts/figures.py --preset full $(ONLY)

test: $(STAMP) ## unit tests, then check that the notebooks' committed outputs still come out
	@$(HEADLESS) $(PY) -m pytest -rs -n 2 --dist worksteal tests
	@$(HEADLESS) $(PY) scripts/validate.py

coverage: $(STAMP) ## the unit tests once more, with the lines and branches that they reach (results/coverage)
	@mkdir -p results/coverage && $(PY) -m coverage erase
	@$(HEADLESS) $(PY) -m coverage run -m pytest -q -n 2 --dist worksteal tests
	@$(PY) -m coverage combine -q && $(PY) -m coverage report && $(PY) -m coverage html -q -d results/coverage/html

mutants: .mutmut/.stamp ## would a test notice? Small faults put into the core, one by one (hours; ONLY="asgd_lib.rules.asgd*" for some)
	@PYTHONPATH="$(CURDIR)/.mutmut" $(HEADLESS) $(PY) -m mutmut run --max-children 2 $(ONLY)

.mutmut/.stamp: $(STAMP)
	@$(PY) -m pip --no-input install -q --upgrade --target .mutmut -c requirements.lock mutmut==3.8.1
	@touch $@

validate: $(STAMP) ## only the second half of test: do the committed outputs still come out?
	@$(HEADLESS) $(PY) scripts/validate.py $(ONLY)

accept: $(STAMP) ## copy notebooks and verdicts of results/quick over the committed ones, once you have read them
	@$(PY) scripts/accept.py $(ONLY)

verdicts: $(STAMP) ## rewrite VERDICTS.md and the README's summary from notebooks/verdicts
	@$(PY) scripts/verdicts.py

lint: $(STAMP) ## ruff over library, tests, scripts and notebooks
	@$(PY) -m ruff check asgd_lib tests scripts notebooks

bench: $(STAMP) ## measure speed and memory against a plain loop, in one run, and rewrite BENCHMARKS.md (ARGS="--threads 1")
	@MPLBACKEND=Agg $(PY) scripts/bench.py $(ARGS)
	@$(THREADS) $(PY) scripts/bench_serve.py --json benchmarks/serve.json
	@MPLBACKEND=Agg $(PY) scripts/bench_report.py

bench-peers: $(STAMP) ## the same work by other simulators, each in .venv-peers/NAME (fetches gigabytes the first time; ARGS="--only FLGo")
	@MPLBACKEND=Agg $(PY) scripts/bench_peers.py $(ARGS)
	@MPLBACKEND=Agg $(PY) scripts/bench_report.py

site: $(STAMP) ## build the web pages into site/: notebooks, verdicts, the library's reference
	@$(HEADLESS) $(PY) scripts/build_site.py

lab: $(STAMP) $(LAB_SETTINGS) ## open JupyterLab on the first notebook (ARGS="--no-browser --port 8889")
	@$(PY) -m jupyter trust --log-level=ERROR notebooks/*.ipynb >/dev/null
	@JUPYTER_PATH="$(CURDIR)/.venv/share/jupyter" $(PY) -m jupyterlab $(QUIET_PINGS) $(ARGS) notebooks/00_start_here.ipynb

$(LAB_SETTINGS): scripts/jupyterlab.json $(STAMP)
	@mkdir -p $(@D) && cp $< $@

data: $(STAMP) ## fetch the larger data sets (the small ones are inside the library)
	@$(PY) -m asgd_lib.data $(ARGS)

clean: ## remove caches and quick results; never .venv or results/full
	@rm -rf results/scratch results/quick site .site-* .pytest_cache .ruff_cache .hypothesis build notebooks/.ipynb_checkpoints
	@find asgd_lib tests scripts notebooks -name __pycache__ -type d -prune -exec rm -rf {} +

lock: ## resolve requirements.lock anew from pyproject.toml (needs uv)
	@$(PY) scripts/lock.py

audit: .audit/.stamp ## hold the pinned packages against PyPI's database of known vulnerabilities (needs the network; ARGS="-s osv")
	@PYTHONPATH="$(CURDIR)/.audit" $(PY) -m pip_audit --requirement requirements.lock --no-deps --disable-pip --strict $(ARGS)

.audit/.stamp: $(STAMP)
	@$(PY) -m pip --no-input install -q --upgrade --target .audit pip-audit==2.10.1
	@touch $@
