# `make demo` proves and verifies the first example, `make test` runs the fast tests. Both set up what they need:
# a virtual environment with the locked dependencies, the native engine (compiled for this machine's CPU) and the
# project itself. Nothing is done twice: each step leaves a stamp that is newer than its inputs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Stamps lie in the environment, so that removing it removes them.
LOCKED := $(VENV)/.locked
NATIVE := $(VENV)/.native
READY := $(VENV)/.project
# The execution specs, which the executor is compared with. They need older libraries than the project, so they have an
# environment of their own within the project's, where tests/differential looks for it.
SPECS := $(VENV)/specs
SPECS_LOCKED := $(SPECS)/.locked

NATIVE_SOURCES := $(shell find native/src native/.cargo -type f 2>/dev/null) \
	$(wildcard native/Cargo.toml native/Cargo.lock native/pyproject.toml native/*.pyi native/rust-toolchain.toml)

WORKERS ?= $(shell nproc 2>/dev/null || echo 2)
# Of the service.
PORT ?= 8280
# Processes of the fast tests; a file's tests stay in one, since they share what is expensive.
TEST_PROCESSES ?= 2
# Share of the batches that tests execute that are checked in parts as well.
CUT ?= 0.03
# Seed and time for a random part of the deep tests.
DEEP_SEED ?= $(shell date +%Y%j)
DEEP_BUDGET ?= 150
FUZZ_SECONDS ?= 600
CAMPAIGN_SECONDS ?= 3600
# Where wheels go, and the processor that the engine's is compiled for.
DIST ?= dist
WHEEL_CPU ?= $(if $(filter x86_64,$(shell uname -m)),x86-64-v3,generic)

.DELETE_ON_ERROR:
.PHONY: help demo serve test test-native deep deep-sample fuzz campaign lint format setup specs wheels lock pin-keys \
	docs bench bench-native bench-keccak bench-opcodes bench-scaling large clean

help:
	@echo "make demo        set up, then prove and verify 100 ERC-20 transfers, examples/erc20.json"
	@echo "make test        set up, then run the fast tests"
	@echo "make serve       set up, then open the proving service with an example queue, http://127.0.0.1:8280"
	@echo "make deep        run the slow, exhaustive tests; make test-native: those of the engine's crate"
	@echo "make specs       install the execution specs that the tests compare the executor with; the tests do it, too"
	@echo "make fuzz        attack the readers of files for FUZZ_SECONDS; make campaign: the circuits, CAMPAIGN_SECONDS"
	@echo "make lint        ruff, mypy, rustfmt, clippy"
	@echo "make bench       exact costs and measured times of the workloads; also bench-native, -keccak, -opcodes, -scaling"
	@echo "make large       prove and verify a transaction of 161 million gas, 8.2 million steps: minutes, and 8 GB of memory"
	@echo "make wheels      build the wheels of the project, of its engine and of the verifier alone, into dist/"
	@echo "make docs        build the documentation site into out/site/"
	@echo "make pin-keys    generate the verifying keys that verifier/ pins, after a change of the circuits"
	@echo "make lock        compile requirements.lock again, after a change of the dependencies"

demo: setup
	@mkdir -p out
	$(BIN)/zkevm prove examples/erc20.json --out out/erc20.proof --workers $(WORKERS) --segment-operations 25 --segments-only
	$(BIN)/zkevm verify out/erc20.proof

# It goes on where it was when it is started again; `rm -r out/service` begins anew.
serve: setup
	$(BIN)/python -m scripts.example_queue --data out/service --port $(PORT)

test: setup specs
	$(BIN)/pytest -n $(TEST_PROCESSES) --dist loadfile --cut $(CUT) --cut-seed $(DEEP_SEED)

deep: setup specs
	$(BIN)/pytest -m deep

# The tests of the engine's own crate, which the deep tests run, too.
test-native: setup
	cd native && PYO3_PYTHON="$(CURDIR)/$(BIN)/python" cargo test --release --locked

# A random order given by the seed, until the budget (seconds) is spent; the rest is skipped.
deep-sample: setup specs
	$(BIN)/pytest -m deep --deep-seed $(DEEP_SEED) --deep-budget $(DEEP_BUDGET)

fuzz: setup
	$(BIN)/python -m scripts.fuzzing all --seconds $(FUZZ_SECONDS) --seed $(DEEP_SEED)

campaign: setup
	$(BIN)/python -m scripts.campaign --seconds $(CAMPAIGN_SECONDS) --seed $(DEEP_SEED)
	cd native && ZKEVM_SEED=$(DEEP_SEED) PYO3_PYTHON="$(CURDIR)/$(BIN)/python" cargo test --release --locked lies

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	cd native && cargo fmt --check
	cd native && PYO3_PYTHON="$(CURDIR)/$(BIN)/python" cargo clippy --release --all-targets --features bench -- -D warnings

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	cd native && cargo fmt

bench: setup
	$(BIN)/zkevm bench erc20 erc20-vyper erc20-yul transfer

# The prover's kernels, each beside the engine's own.
bench-native: setup
	cd native && PYO3_PYTHON="$(CURDIR)/$(BIN)/python" cargo bench --locked --features bench

bench-keccak: setup
	$(BIN)/python -m scripts.benchmarks.keccak

bench-opcodes: setup
	$(BIN)/python -m scripts.benchmarks.opcodes

bench-scaling: setup
	$(BIN)/python -m scripts.benchmarks.scaling

# One transaction that no segment of 6 GiB holds. Killed, it goes on where it was when it is started again.
large: setup
	@mkdir -p out
	$(BIN)/zkevm prove examples/snailtracer-full.json --out out/snailtracer-full.proof --workers 1 --segment-memory 6144 \
		--segments-only
	$(BIN)/zkevm verify out/snailtracer-full.proof

# The site refers to nothing outside of it; warnings are errors.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --clean --quiet
	@echo "out/site/index.html; with a search: $(BIN)/python -m http.server --directory out/site 8281"

pin-keys: setup
	$(BIN)/python -m scripts.pin_keys

setup: $(READY)

$(LOCKED): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one with 'make PYTHON=python3.12 ...'" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	@touch $@

$(NATIVE): $(LOCKED) $(NATIVE_SOURCES)
	@command -v cargo >/dev/null || { echo "cargo is needed to compile the proof engine" >&2; exit 1; }
	cd native && VIRTUAL_ENV="$(CURDIR)/$(VENV)" ../$(BIN)/maturin develop --release --locked --quiet
	@touch $@

$(READY): $(LOCKED) $(NATIVE) pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
		--config-settings editable_mode=compat -e .
	@touch $@

# Wheels for other machines: the engine is compiled for the processors of the last ten years (AVX2), not for this one.
# `make wheels WHEEL_CPU=native` makes one for this one.
wheels: $(LOCKED)
	@mkdir -p $(DIST)
	@rm -rf build
	$(BIN)/pip wheel . ./wheels/verifier --quiet --disable-pip-version-check --no-deps --no-build-isolation \
		--wheel-dir $(DIST)
	@rm -rf build
	cd native && RUSTFLAGS="-C target-cpu=$(WHEEL_CPU)" "$(abspath $(BIN))/maturin" build --release --locked --quiet \
		--target-dir target/wheels --out "$(abspath $(DIST))"
	@ls $(DIST)/*.whl

specs: $(SPECS_LOCKED)

$(SPECS_LOCKED): tests/differential/requirements.lock $(LOCKED)
	$(BIN)/python -m venv $(SPECS)
	$(SPECS)/bin/pip install --quiet --disable-pip-version-check -r tests/differential/requirements.lock
	@touch $@

lock:
	uv pip compile pyproject.toml --extra dev --extra docs --extra service --universal --python-version 3.11 --no-header --upgrade \
		--output-file requirements.lock
	uv pip compile tests/differential/requirements.in --universal --python-version 3.11 --no-header --upgrade \
		--output-file tests/differential/requirements.lock

clean:
	rm -rf $(VENV) native/target build dist out .pytest_cache .mypy_cache .ruff_cache .hypothesis
