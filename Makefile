# Needs Python 3.11 or newer and make, nothing else.
#   make PYTHON=python3.12 …       another Python than python3
#   make test PYTEST_ARGS="-k sso" only some tests

PYTHON ?= python3
PYTEST_ARGS ?=
BIN = .venv/bin
# What pip and the tools that it runs grumble about is shown when it fails.
PIP_INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: help install axe demo bench bench-pages test format format-check lint types migrations docs translations pictures sure clean
.DEFAULT_GOAL := help

help:
	@echo "make demo        two connected sites with sample people; Ctrl-C ends them"
	@echo "make install     the virtual environment with everything that development needs"
	@echo "make test        the tests; those that need a service that is not there are skipped"
	@echo "make axe         axe-core for the tests in a browser; takes npm"
	@echo "make bench       how fast synchronising is, in ratios; takes minutes"
	@echo "make bench-pages how long lists of the administration pages take, by how many people there are"
	@echo "make sure        everything CI runs: format, lint, types, migrations, tests"
	@echo "make format      put the code into its layout"
	@echo "make lint        ruff"
	@echo "make types       mypy"
	@echo "make migrations  do the models and the migrations agree"
	@echo "make docs        write docs/settings.md anew"
	@echo "make translations  find the sentences of the pages, and make what the sites read from the catalogues"
	@echo "make pictures    make the pictures of the documentation anew"
	@echo "make clean       remove what was made here, but for the sites' data in var/"

# The two stamps keep an installation from being repeated until setup.py changes.
.venv/bin/python:
	@command -v $(PYTHON) >/dev/null || { \
		echo "There is no $(PYTHON) here. Install Python 3.11 or newer, or name one: make PYTHON=python3.12" >&2; \
		exit 1; }
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || { \
		echo "Python 3.11 or newer is needed, and $(PYTHON) is `$(PYTHON) --version 2>&1`." \
			"Name another: make PYTHON=python3.12" >&2; \
		exit 1; }
	@$(PYTHON) -m venv .venv || { \
		rm -rf .venv; \
		echo "$(PYTHON) cannot make a virtual environment. On Debian: apt install python3-venv" >&2; \
		exit 1; }

.venv/installed-to-run: .venv/bin/python setup.py
	@echo "Installing into .venv …" >&2
	@$(PIP_INSTALL) --editable . 2>.venv/pip.log || { cat .venv/pip.log >&2; exit 1; }
	@touch $@

.venv/installed-to-develop: .venv/bin/python setup.py
	@echo "Installing into .venv …" >&2
	@$(PIP_INSTALL) --editable ".[dev]" 2>.venv/pip.log || { cat .venv/pip.log >&2; exit 1; }
	@touch $@ .venv/installed-to-run

install: .venv/installed-to-develop

axe:
	npm ci --prefix tests/browser --no-audit --no-fund

demo: .venv/installed-to-run
	@$(BIN)/python -m tconnect_pyramid.site.demo development.ini

test: install
	$(BIN)/pytest $(PYTEST_ARGS)

# BENCH_ARGS="--database postgresql+psycopg://…" measures on PostgreSQL.
BENCH_ARGS ?=
bench: install
	$(BIN)/python benchmarks/sync.py $(BENCH_ARGS)

bench-pages: install
	$(BIN)/python benchmarks/pages.py $(BENCH_ARGS)

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --select I --fix .

format-check: install
	$(BIN)/ruff format --check .

lint: install
	$(BIN)/ruff check .

types: install
	$(BIN)/mypy

migrations: install
	$(BIN)/pytest tests/functional/test_migrations.py

# That it is up to date is held by tests/unit/test_settings.py.
docs: install
	$(BIN)/python -c "from pathlib import Path; from tconnect_pyramid.settings import settings_page; \
		Path('docs/settings.md').write_text(settings_page(), encoding='utf-8')"

# That they are up to date, and complete, is held by tests/unit/test_translations.py.
LOCALE = tconnect_pyramid/locale
translations: install
	$(BIN)/pybabel -q extract -F babel.cfg --no-default-keywords -k _ -k _html -k plural:1,2 -k _n:1,2 \
		--add-location=never --sort-output --project tconnect_pyramid \
		--copyright-holder "tconnect_pyramid contributors" -o $(LOCALE)/tconnect_pyramid.pot .
	@for language in $(LOCALE)/*/; do \
		$(BIN)/pybabel -q update --no-fuzzy-matching --ignore-obsolete --ignore-pot-creation-date \
			-i $(LOCALE)/tconnect_pyramid.pot -l $$(basename $$language) -D tconnect_pyramid -d $(LOCALE); \
	done
	$(BIN)/pybabel -q compile --directory $(LOCALE) --domain tconnect_pyramid

# The pictures of the documentation, from the running sites; needs chromium.
pictures: install
	TCONNECT_PICTURES=1 $(BIN)/pytest tests/browser/test_pictures.py

# The migrations are among the tests.
sure: format-check lint types test

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage tests/browser/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
