# Short names for what engineers type.  Each is one command that can also be typed by hand; the gate is .ci/run.

PYTHON ?= python3
BIN := .venv/bin
GROUP ?=

.PHONY: help venv test long chaos integrity sabotage mutation cover lint format types bench bench-full steps fuzz fuzz-long fuzz-corpus sanitize demo bombs soak gate clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' Makefile

venv: $(BIN)/netstructer  ## a virtual environment with everything an engineer needs

$(BIN)/netstructer: pyproject.toml setup.cfg setup.py
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -e '.[dev]'
	touch $@

test: venv  ## the suite
	$(BIN)/python -m pytest

long: venv  ## the tests that take minutes
	$(BIN)/python -m pytest -m long --timeout 3600

bombs: venv  ## what each bomb costs, under both limits
	$(BIN)/python tests/bombs.py -v

chaos: venv  ## a million messages each way, more than ten thousand cuts: a quarter of an hour
	$(BIN)/python tests/chaos.py --messages 1000000 --cuts 10000

integrity: venv  ## every bit, length, order and splice of recorded sessions, and a million changes by chance: ten minutes
	$(BIN)/python tests/integrity.py

sabotage: venv  ## one safeguard of the code after the other taken away, and the test that misses it
	$(BIN)/python tests/breaking.py

mutation: venv  ## small changes of the code, each to be found by a test: GROUP=tokens, handshake, session, values, spool
	$(BIN)/pip install -q -e '.[mutation]'
	$(BIN)/python tests/mutation.py $(GROUP)

soak: venv  ## twenty minutes of links that come and go through cuts, and what each process holds meanwhile
	$(BIN)/python -m bench.soak --minutes 20

cover: venv  ## branch coverage of the codec and the protocol
	$(BIN)/python -m pytest --cov

lint: venv  ## ruff
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: venv  ## ruff, changing files
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

types: venv  ## mypy --strict
	$(BIN)/mypy

bench: venv  ## the bench beside what users would pick instead: under four minutes
	$(BIN)/pip install -q -e '.[bench-peers]'
	$(BIN)/python -m bench --short

bench-full: venv  ## the bench behind docs/performance.md, which it writes anew: an hour or two
	$(BIN)/pip install -q -e '.[bench-peers]'
	$(BIN)/python -m bench --full --publish docs/performance.md

steps: venv  ## what each step of a value's way costs, by the clock and in instructions
	$(BIN)/python -m bench.steps
	$(BIN)/python -m bench.steps --instructions

SECONDS ?= 60
CORPORA ?= $(HOME)/.cache/netstructer-fuzz

fuzz: venv  ## the fuzzer, SECONDS=60 for all targets together or for TARGET=
	$(BIN)/python -m fuzz --seconds $(SECONDS) $(if $(TARGET),--target $(TARGET)) $(if $(ENGINE),--engine $(ENGINE))

fuzz-long: venv  ## ten million inputs to each target, over as many runs as it takes (CORPORA= keeps what was found)
	nice -n 15 $(BIN)/python -m fuzz --until 10000000 --engine mutate --corpora $(CORPORA)

fuzz-corpus: venv  ## the committed corpora anew, from what was found in CORPORA
	$(BIN)/python -m fuzz.corpus --corpora $(CORPORA)

sanitize: venv  ## the compiled loops under AddressSanitizer and UBSan (gcc): a quarter of an hour
	$(BIN)/pip install -q 'Cython>=3.1'
	$(BIN)/python tests/sanitize.py

demo: venv  ## a server and a link, on real input
	$(BIN)/netstructer demo

gate:  ## what must hold before a change is taken
	.ci/run

clean:  ## remove what can be made again
	rm -rf .venv build dist *.egg-info .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache bench/results
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
