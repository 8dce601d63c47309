# Chiliad. `make demo` and `make test` need only Python 3.11+, a C++ compiler and make; everything else goes into .venv.
# Elsewhere than on a machine whose pip already finds a CPU build of PyTorch, avoid gigabytes of CUDA packages with
#   make setup PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu

PYTHON ?= python3
BIN := .venv/bin
WORKERS ?= 2
KERNEL_TESTS := tests/kernels tests/engine/test_native_runner.py tests/training/test_native_pass.py
export MPLBACKEND := Agg
# What builds Chiliad is pinned too: older pips read the first of these for it, newer ones the second.
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_BUILD_CONSTRAINT := $(CURDIR)/constraints.txt
ifdef PIP_EXTRA_INDEX_URL
export PIP_EXTRA_INDEX_URL
endif

.PHONY: setup demo demo-thousand test postgres browser sanitize check avx2 clients lint types imports wheel clean

setup: .venv/ready  ## install Chiliad and fetch the default base model

demo: .venv/ready  ## the whole circle on the example support desk; DATA=my.csv puts your own file beside it
	$(BIN)/python examples/support_desk/demo.py $(if $(DATA),--data '$(DATA)')

demo-thousand: .venv/ready  ## a thousand small experts at once; DATA=my.csv makes your own file one more of them
	$(BIN)/python examples/thousand/demo.py $(if $(DATA),--data '$(DATA)') $(if $(PACK),--pack '$(PACK)')

test: .venv/ready-dev  ## TESTS='tests clients' has other people's clients after them, in the same run
	$(BIN)/python -m pytest -n $(WORKERS) $(TESTS)

postgres:  ## install Debian's PostgreSQL if it is missing: its tests start a server of their own, and are skipped without
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || \
	  { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install postgresql; }

browser:  ## install Debian's Chromium if it is missing: the tests of pages drive it, and are skipped without
	@command -v chromium >/dev/null || \
	  { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install chromium; }

check: lint types imports wheel avx2 test  ## what CI runs, with the clients among its TESTS; the tests come last

avx2: .venv/ready-dev  ## the kernels' tests once more, as a processor without AVX-512 runs them
	CHILIAD_NATIVE=avx2 $(BIN)/python -m pytest -q -n $(WORKERS) $(KERNEL_TESTS)

clients: .venv/ready-dev  ## other people's clients, unmodified, against a live server, each in an environment of its own
	$(BIN)/python -m pytest clients

sanitize: .venv/ready-dev  ## the kernels' tests under AddressSanitizer and UndefinedBehaviorSanitizer; builds them anew before and after
	$(BIN)/pip install -q -c constraints.txt -C cmake.define.CHILIAD_SANITIZE=ON -e .
	LD_PRELOAD="$$(c++ -print-file-name=libasan.so) $$(c++ -print-file-name=libubsan.so)" ASAN_OPTIONS=detect_leaks=0 \
	  UBSAN_OPTIONS=halt_on_error=1 $(BIN)/python -m pytest $(KERNEL_TESTS); \
	  status=$$?; $(BIN)/pip install -q -c constraints.txt -C cmake.define.CHILIAD_SANITIZE=OFF -e . && exit $$status

lint: .venv/ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/ready-dev
	$(BIN)/mypy

imports: .venv/ready-dev
	$(BIN)/lint-imports

wheel: .venv/ready-dev  ## a built wheel works in a clean environment
	rm -rf build dist .venv-wheel
	$(BIN)/python -m build --wheel --outdir dist
	$(PYTHON) -m venv .venv-wheel
	.venv-wheel/bin/pip install -q -c constraints.txt dist/chiliad-*.whl
	cd .venv-wheel && bin/chiliad --version && bin/chiliad doctor
	rm -rf .venv-wheel build

clean:
	rm -rf .venv .venv-clients .venv-wheel build dist demo-ws demo-thousand-ws .mypy_cache .ruff_cache .pytest_cache

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Chiliad needs Python 3.11 or newer, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt -e .
	$(BIN)/chiliad base pull smollm2-135m-q4_1
	touch $@

.venv/ready-dev: .venv/ready
	$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	@command -v chromium >/dev/null || echo 'No chromium here: the tests of pages in a browser are skipped. `make browser` installs it.'
	touch $@
