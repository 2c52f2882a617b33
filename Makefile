# Needs nothing but make and a Python 3.11, 3.12 or 3.13. PYTHON= names another one, PORT= another port.
PORT ?= 7071
VENV ?= .venv
ARGS ?=

# The Python of an environment that is there already, unless another one is named.
THERE := $(shell $(VENV)/bin/python -c "import sys; print((3, 11) <= sys.version_info[:2] <= (3, 13))" 2>/dev/null)
PYTHON ?= $(if $(filter True,$(THERE)),$(VENV)/bin/python,python3)

VERSION := $(shell $(PYTHON) -c "import sys; print('%d.%d.%d' % sys.version_info[:3])" 2>/dev/null)
INSTALLED := $(VENV)/installed-$(VERSION)
RUN := $(VENV)/bin/python -m

# Bytecode makes the start three times as fast.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help start emulators doctor package test bench check format install clients clean

help: ## say what there is
	@echo "make COMMAND [PYTHON=python3.12]"
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1@\2/p' Makefile | while IFS=@ read -r name what; do \
		printf '  %-10s %s\n' $$name "$$what"; done

start: $(INSTALLED) ## run the app and the emulators of Azure on this machine (PORT=7071)
	@$(RUN) dev start --port $(PORT) $(ARGS)

emulators: $(INSTALLED) ## run the emulators alone, for `func start`
	@$(RUN) dev emulators $(ARGS)

doctor: $(INSTALLED) ## say what works, what does not, and what mends it (ARGS="--explain --wait")
	@$(RUN) dev doctor $(ARGS)

package: $(INSTALLED) ## build dist/app.zip, for a deployment without azd
	@$(RUN) dev package

test: $(INSTALLED) ## run the tests with coverage (ARGS="-k name --no-cov")
	@$(RUN) pytest --cov --cov-report=term $(ARGS)

check: $(INSTALLED) ## lint, formatting, types, walls between modules
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(RUN) mypy
	@$(VENV)/bin/lint-imports --no-logo --no-cache

bench: $(INSTALLED) ## measure what a photo and the choice of a deployment cost on this machine
	@$(RUN) dev.bench_pictures
	@$(RUN) dev simulate --choosing

format: $(INSTALLED) ## format the code, and mend what the linter can
	@$(RUN) ruff check --fix .
	@$(RUN) ruff format .

install: $(INSTALLED) ## make .venv, which the others do when needed
	@:

clients: tests/e2e/node_modules/.installed ## install the npm clients that some tests drive (Node 20 or later)
	@:

tests/e2e/node_modules/.installed: tests/e2e/package.json
	@echo "Installing the npm clients into tests/e2e/node_modules, once ..."
	@npm install --prefix tests/e2e --no-package-lock --no-audit --no-fund --loglevel=error
	@touch $@

$(INSTALLED): requirements.txt requirements-redis.txt requirements-dev.txt
	@case "$(VERSION)" in \
		3.11.*|3.12.*|3.13.*) ;; \
		"") echo "There is no $(PYTHON) that runs. Name one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1 ;; \
		*) echo "$(PYTHON) is Python $(VERSION); this app needs 3.11, 3.12 or 3.13." \
			"Name one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1 ;; \
	esac
	@echo "Installing into $(VENV) (Python $(VERSION)), once; it takes a minute ..."
	@if [ "$$($(VENV)/bin/python -c "import sys; print('%d.%d.%d' % sys.version_info[:3])" 2>/dev/null)" != "$(VERSION)" ]; \
		then rm -rf "$(VENV)" && $(PYTHON) -m venv "$(VENV)"; fi
	@$(RUN) pip install -qq --disable-pip-version-check --compile -r requirements-dev.txt
	@touch $@

clean: ## remove everything that these commands made
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.* htmlcov tests/e2e/node_modules
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
