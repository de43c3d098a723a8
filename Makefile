# Two commands do everything on a fresh machine: `make demo` and `make test`.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
STAMP := $(VENV)/.installed-demo
DEVSTAMP := $(VENV)/.installed-dev
DEBIAN := g++ make perl iverilog ghdl clang cmake tcl chromium

.PHONY: help demo test test-all bench bench-peers bench-all lint types docs system clean

help:
	@echo "make demo      set everything up and tell the whole story on real physics (about 10 minutes)"
	@echo "make test      set everything up and run the tests"
	@echo "make test-all  the slow tests too"
	@echo "make bench     the benchmarks; make bench-peers makes the peers' environments, make bench-all compares with them"
	@echo "make lint | types | docs | system | clean"

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -q "pip>=25.1"

$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install -q -c constraints.txt torch
	$(PIP) install -q -c constraints.txt -e ".[all]"
	$(BIN)/python -m compileall -q src  # an environment that forbids writing bytecode would compile 200 modules in every process
	touch $@

$(DEVSTAMP): $(STAMP)
	$(PIP) install -q -c constraints.txt --group dev
	touch $@

# Debian packages that only some parts need; without root the parts that miss one say which.
system:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  missing=""; for p in $(DEBIAN); do dpkg -s $$p >/dev/null 2>&1 || missing="$$missing $$p"; done; \
	  if [ -n "$$missing" ]; then echo "installing:$$missing"; \
	    (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null) \
	    || echo "could not install$$missing; the parts that need them will say so"; fi; \
	else echo "not root (or no apt-get): if a part misses a tool, it names the package ($(DEBIAN))"; fi

demo: system $(STAMP)
	$(BIN)/hardwire demo -o build/demo

test: system $(DEVSTAMP)
	$(BIN)/python -m pytest -n 2 -m "not slow"

test-all: system $(DEVSTAMP)
	$(BIN)/python -m pytest -n 2

bench: system $(DEVSTAMP)
	$(BIN)/python benchmarks/run_all.py --out build/benchmarks

# The peers need other versions of the same packages: an environment each, never ours.
PEERS := build/peers

$(PEERS)/hgq2/.installed: benchmarks/peers/hgq2.txt
	$(PYTHON) -m venv $(PEERS)/hgq2
	$(PEERS)/hgq2/bin/python -m pip --disable-pip-version-check install -q -c constraints.txt -r $<
	touch $@

$(PEERS)/hls4ml/.installed: benchmarks/peers/hls4ml.txt
	$(PYTHON) -m venv $(PEERS)/hls4ml
	$(PEERS)/hls4ml/bin/python -m pip --disable-pip-version-check install -q -c constraints.txt -r $<
	touch $@

bench-peers: $(PEERS)/hgq2/.installed $(PEERS)/hls4ml/.installed

bench-all: system $(DEVSTAMP) bench-peers
	$(BIN)/python benchmarks/run_all.py --out build/benchmarks --peers $(PEERS)

lint: $(DEVSTAMP)
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks

types: $(DEVSTAMP)
	$(BIN)/mypy

docs: $(DEVSTAMP)
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

clean:
	rm -rf build docs/_build .pytest_cache .mypy_cache .ruff_cache
