# make run, make demo and make test need nothing but Python 3.11 or later: each makes .venv itself and brings it up to
# date when setup.cfg has changed. None of them needs root or a compiler.

PYTHON ?= python3
BIN := .venv/bin
TRIAL := $(BIN)/python -m twisted.trial

.DEFAULT_GOAL := help
.PHONY: help run demo test check lint types house man docs bench coverage clean

help:
	@echo 'make run       start the bridge with etc/b2bua.toml, on loopback addresses only'
	@echo 'make demo      one call through the bridge, drawn as a ladder'
	@echo 'make test      all tests; installs the real SIP clients they use where it may'
	@echo 'make check     ruff, mypy --strict, the direction of imports, the man pages, docs/conformance.md'
	@echo 'make docs      docs/conformance.md anew: which test proves which section of which RFC'
	@echo 'make bench     what a call costs'
	@echo 'make coverage  the tests again, with the lines and branches they reach'
	@echo 'make clean     away with everything that was made here, except etc/tls'

# -- running

# The bridge runs in the background of a shell that waits for it, so that Ctrl-C ends the bridge (once) and not make:
# otherwise make would end the picture with an error of its own. sh makes background jobs deaf to SIGINT; env undoes it.
run: .venv/installed
	@$(BIN)/b2bua development-certificate etc/tls
	@echo 'To try, while it runs (Ctrl-C ends it):'
	@echo '  two softphones calling each other through it, as the first lines of etc/b2bua.toml say'
	@echo '  $(BIN)/b2bua explain etc/b2bua.toml sip:bob@127.0.0.1    which way a call would take, and why'
	@echo '  telnet 127.0.0.1 5023, then help()                          what the bridge is doing'
	@echo
	@trap : INT; trap 'kill -TERM $$bridge' TERM HUP; \
	env --default-signal=INT $(BIN)/twistd --nodaemon --pidfile= b2bua etc/b2bua.toml & bridge=$$!; \
	wait $$bridge; status=$$?; \
	while kill -0 $$bridge 2>/dev/null; do wait $$bridge; status=$$?; done; \
	case $$status in 130|143) exit 0;; *) exit $$status;; esac

demo: .venv/installed
	@$(BIN)/b2bua demo

# -- checking

# The programs first: one of them may be what makes a virtual environment possible.
test:
	@PYTHON='$(PYTHON)' tests/prepare.sh
	@$(MAKE) --silent --no-print-directory .venv/test
	$(TRIAL) -j2 tests

check: lint types house man

lint: .venv/dev
	$(BIN)/ruff check .

types: .venv/dev
	$(BIN)/mypy --strict

house: .venv/test
	$(TRIAL) tests.test_house tests.test_conformance

man:
	@if command -v mandoc >/dev/null; then \
		echo 'mandoc -Tlint -Wwarning man/*'; mandoc -Tlint -Wwarning man/*; \
	else echo 'SKIPPED: the man pages are not checked: mandoc is not installed'; fi

docs: .venv/test
	$(BIN)/python -m tests.conformance > docs/conformance.md.new
	mv docs/conformance.md.new docs/conformance.md

bench: .venv/installed
	$(BIN)/python -m benchmarks

coverage: .venv/test
	$(BIN)/coverage erase
	@$(BIN)/coverage run -m twisted.trial -j2 tests; status=$$?; \
	$(BIN)/coverage combine --quiet && $(BIN)/coverage report; \
	$(BIN)/coverage report --format=total --fail-under=100 --include='b2bua/sip/*,b2bua/transaction/*,b2bua/policy/*' \
		>/dev/null || { echo 'sip/, transaction/ and policy/ must be covered wholly'; status=1; }; \
	$(BIN)/coverage report --format=total --fail-under=95 --include='b2bua/dialog/*,b2bua/call/*' \
		>/dev/null || { echo 'dialog/ and call/ must be covered to 95 %'; status=1; }; \
	exit $$status

# -- the virtual environment

.venv/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'b2bua needs Python 3.11 or later; name one: make PYTHON=/path/to/python3'; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "$(PYTHON) cannot make a virtual environment; on Debian: apt install python3-venv"; exit 1; }
	@echo 'Making the virtual environment .venv'
	@$(PYTHON) -m venv .venv
	@touch $@

.venv/installed: .venv/python setup.cfg pyproject.toml
	@echo 'Installing b2bua and its libraries into .venv'
	@$(BIN)/pip install --quiet --editable .
	@touch $@

.venv/test: .venv/installed
	@echo 'Installing what the tests use into .venv'
	@$(BIN)/pip install --quiet --editable '.[test]'
	@touch $@

.venv/dev: .venv/test
	@echo 'Installing what the checks use into .venv'
	@$(BIN)/pip install --quiet --editable '.[test,dev]'
	@touch $@

clean:
	rm -rf .venv build dist *.egg-info _trial_temp* .hypothesis .mypy_cache .ruff_cache .coverage .coverage.* htmlcov
	rm -f twistd.pid twistd.log twisted/plugins/dropin.cache
	find b2bua tests twisted benchmarks -name __pycache__ -type d -exec rm -rf {} + 2>/dev/null || true
