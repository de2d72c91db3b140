# The entrance to the project: `make help` lists what there is. Every target installs what it needs.

SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
OBJECTS := src/piranha/dataplane/ebpf/objects

# What a fresh Debian or Ubuntu lacks: to compile BPF, to load it, to build networks, to make a virtual environment.
PACKAGES := clang llvm libbpf-dev linux-libc-dev libbpf1 iproute2 ethtool curl python3-venv
TEST_PACKAGES := $(PACKAGES) nftables

FORWARD ?= direct
KEEP ?=
SEEDS ?= 2000
FIRST ?= 0
RUNS ?= 5

.DEFAULT_GOAL := help
.PHONY: help run browser screenshots test uml simulate check-model ldirectord servers test-unit check format bench bench-quick docs man compatibility build wheel clean lab-down packages test-packages browser-packages bench-failover

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

run: build ## a cluster with two directors in network namespaces, and its story; KEEP=1 leaves it up, FORWARD=nat|tunnel|direct
	@$(SUDO) $(BIN)/piranha lab story --forward $(FORWARD) $(if $(KEEP),--keep)

lab-down: build ## remove the cluster of `make run KEEP=1`
	@$(SUDO) $(BIN)/piranha lab down

test: test-packages browser-packages uml ldirectord servers build $(VENV)/dev ## every test: unit, packet, network namespaces (as root), browser
	@$(SUDO) $(BIN)/python -m pytest tests

uml: ## the user-mode kernel with the kernel's IPVS, for the tests that compare with it
	@$(PYTHON) tools/fetch_uml.py

servers: ## real servers for the tests of the nanny's checks: nginx, redis, mariadb, postgresql
	@$(PYTHON) tools/fetch_servers.py

ldirectord: ## Debian's ldirectord, for the test that it works with our ipvsadm
	@$(PYTHON) tools/fetch_ldirectord.py

simulate: build $(VENV)/dev ## play SEEDS histories of a pair of directors and their faults (SEEDS=20000, FIRST=0)
	@$(BIN)/python -m tests.simulation --seeds $(SEEDS) --first $(FIRST)

check-model: build ## Spin searches the model of lease, probe and takeover (tests/model/lease.pml)
	@tools/install_packages.sh spin gcc libc6-dev
	@$(BIN)/python -m tests.model.check

browser: build $(VENV)/dev ## the tests of the GUI in a real browser (apt's Chromium)
	@tools/install_packages.sh chromium
	@$(BIN)/python tools/fetch_assets.py --dev
	@$(BIN)/python -m pytest tests/browser

screenshots: build $(VENV)/dev ## pictures of the GUI's key pages, in build/screenshots/
	@tools/install_packages.sh chromium
	@$(BIN)/python -m tests.browser.screenshots

test-unit: build $(VENV)/dev ## the tests that need neither root nor BPF
	@$(BIN)/python -m pytest tests/unit

check: build $(VENV)/dev ## format, lint, types, floors, generated pages
	@echo "check: ruff"; $(BIN)/ruff check . && $(BIN)/ruff format --check --quiet .
	@echo "check: mypy --strict"; $(BIN)/mypy
	@echo "check: import-linter"; $(BIN)/lint-imports --no-cache >/dev/null || $(BIN)/lint-imports --no-cache
	@echo "check: clang-format"; $(BIN)/clang-format --dry-run --Werror bpf/*.h bpf/*.c bpf/sched/*.h
	@echo "check: generated pages"; $(BIN)/python tools/generate_reference.py --check
	@$(BIN)/python tools/generate_compatibility.py --check

format: $(VENV)/dev ## put all code into the house's format
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .
	@$(BIN)/clang-format -i bpf/*.h bpf/*.c bpf/sched/*.h

docs: build ## write the generated reference pages anew
	@$(BIN)/python tools/generate_reference.py

man: build ## write a manual page for every command into build/man
	@$(BIN)/python tools/generate_man.py build/man

compatibility: build $(VENV)/dev ## play the conformance suite and write docs/reference/ipvs-compatibility.md anew
	@$(SUDO) $(BIN)/python tools/generate_compatibility.py

bench: test-packages uml build $(VENV)/dev ## measure, against peers in the same run; writes bench/results/ and docs/performance.md
	@$(SUDO) $(BIN)/python -m bench $(BENCH)
	@$(BIN)/python -m bench.page

bench-quick: ## the promised figures and fewer of the rest, in three minutes
	@$(MAKE) --no-print-directory bench BENCH=--quick

bench-failover: test-packages build $(VENV)/dev ## what a takeover costs, beside Debian's keepalived: a quarter of an hour; RUNS=5
	@$(PYTHON) tools/fetch_keepalived.py
	@$(SUDO) $(BIN)/python -m bench.failover --runs $(RUNS)

build: packages $(VENV)/run ## the virtual environment, the BPF objects, the scripts that the GUI serves
	@$(BIN)/python tools/build_bpf.py
	@command -v npm >/dev/null || tools/install_packages.sh npm
	@$(BIN)/python tools/fetch_assets.py $(if $(wildcard $(VENV)/dev),--dev)

wheel: build ## a wheel with the BPF objects inside, in dist/
	@$(BIN)/pip install --quiet build && $(BIN)/python -m build --wheel

clean: ## remove everything that was built; not the virtual environment
	@rm -rf build dist $(OBJECTS)/*.o src/piranha/gui/static/vendor .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find src tests tools bench -name __pycache__ -type d -prune -exec rm -rf {} +

packages:
	@tools/install_packages.sh $(PACKAGES)

browser-packages:
	@tools/install_packages.sh chromium

test-packages:
	@tools/install_packages.sh $(TEST_PACKAGES)

$(VENV)/bin/python:
	@echo "setup: virtual environment in $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "setup: Python 3.11 or later is needed: make PYTHON=python3.11 …")'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'

$(VENV)/run: pyproject.toml | packages $(VENV)/bin/python
	@echo "setup: piranha and its libraries"
	@$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/dev: pyproject.toml | $(VENV)/run
	@echo "setup: tools for tests and checks"
	@$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --group dev
	@touch $@
