# Every target sets up what it needs; `make help` lists them. Nothing here needs root, except test-machines and test-kubernetes.
PYTHON := .venv/bin/python
VENV   := .venv/.complete
ETCD   := .cache/etcd/default/etcd
# What upgrades begin with; tests that need it skip where no registry has it.
OLDER  := 3.4.23
MINUTES ?= 10
CODE   := agents nodeup protokube etcdmanager
LINTED := $(CODE) tests examples benchmarks packaging
# Sockets of tests are on loopback; certificates of the host's proxies have no business there.
export AWS_EC2_METADATA_DISABLED := true
PYTEST := $(PYTHON) -m pytest -q
# As many as the cores of the smallest machine that we test on; more make timing-sensitive etcd tests fight each other.
WORKERS ?= 2

.DEFAULT_GOAL := help

##@ The two commands
.PHONY: demo test
demo: $(VENV) $(ETCD)  ## the main job on this machine: plan a node, run three etcd-managers on loopback, crash, back up, restore
	$(PYTHON) examples/demo.py

test: $(VENV) $(ETCD)  ## everything that can run here; as root on Debian it includes one booted machine
	$(PYTEST) -n $(WORKERS) --dist loadfile -m "not etcd and not machine and not conformance and not slow"
	-packaging/fetch-etcd $(OLDER)
	$(PYTEST) -n $(WORKERS) --dist loadfile -m "etcd and not slow"
	$(PYTEST) -n $(WORKERS) -m "conformance and not slow"
	packaging/can-boot-machines && $(PYTEST) -m "machine and not slow" || packaging/can-boot-machines --why

##@ Quality
.PHONY: check lint type fmt property
check: lint type test  ## what CI runs: lint, types, tests

lint: $(VENV)  ## ruff, shellcheck and systemd-analyze verify (the last two where they are installed)
	.venv/bin/ruff check $(LINTED)
	.venv/bin/ruff format --check $(LINTED)
	packaging/lint-shell-and-units

type: $(VENV)  ## mypy, strict
	.venv/bin/mypy

fmt: $(VENV)  ## format and fix what can be fixed mechanically
	.venv/bin/ruff check --fix $(LINTED)
	.venv/bin/ruff format $(LINTED)

property: $(VENV)  ## the property tests, with many more examples than `make test`
	HYPOTHESIS_PROFILE=thorough $(PYTEST) -n $(WORKERS) -m "not etcd and not machine and not conformance" -k "propert or never or always"

##@ Long suites
.PHONY: conformance test-machines test-kubernetes soak bench
conformance: $(VENV)  ## every case of the corpus (KOPS_CONFORMANCE_CORPUS, default ../shared/conformance/corpus.tar.xz)
	$(PYTEST) -n $(WORKERS) tests/conformance

test-machines: $(VENV) $(ETCD)  ## booted Debian machines with systemd and cloud-init; needs root
	$(PYTEST) tests/machines

test-kubernetes: $(VENV) $(ETCD)  ## a real Kubernetes 1.20 on such a machine; the first time it is built, in ten minutes; needs root
	tests/kubernetes/build
	$(PYTEST) -s tests/kubernetes

soak: $(VENV) $(ETCD)  ## three managers under faults at random for MINUTES (default 10), while a client writes
	SOAK_MINUTES=$(MINUTES) $(PYTEST) -s tests/soak

bench: $(VENV) $(ETCD)  ## the figures of docs/benchmarks.md
	$(PYTHON) benchmarks/all.py

##@ Artefacts
.PHONY: build proto lock clean
build: $(VENV)  ## dist/: the wheel, and the single-file executable for nodes
	$(PYTHON) packaging/bundle.py --out dist

proto: $(VENV)  ## generate the gRPC code again from our .proto files
	$(PYTHON) packaging/generate_proto.py

lock: $(VENV)  ## write down the versions in .venv
	packaging/make-venv --lock

clean:  ## remove everything that was made, downloads included
	rm -rf .venv .cache build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find $(CODE) tests examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV): packaging/requirements.txt pyproject.toml packaging/make-venv
	packaging/make-venv
	@touch $@

$(ETCD):
	packaging/fetch-etcd default

.PHONY: help
help:  ## this text
	@awk 'BEGIN {FS = ":.*##"} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*##/ {printf "  %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
