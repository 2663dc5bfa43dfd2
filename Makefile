# make book    the book, from a bare machine with Python 3.11 or newer: _build/html/index.html
# make check   the linter and the unit tests, in minutes: no tiny chapter, no browser, no book
# make test    all tests, what notebooks show beside their run, and the built book in a browser where one is found
# make soak    the long ones: many kills, many draws, steps of full-size networks, 3,000 volumes
# make bench   speed again, as ratios measured in one run; the machine should have nothing else to do
PYTHON ?= python3
BIN    := .venv/bin
export PYTHONHASHSEED := 0
export PYDEVD_DISABLE_FILE_VALIDATION := 1

.PHONY: book check test soak bench lock clean

$(BIN)/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "mdlib needs Python 3.11 or newer; $(PYTHON) is `$(PYTHON) --version`. Try: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps -r requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps -e .
	touch $@

# The notebooks run only where their code, the library or the settings changed; Sphinx then builds the changed pages.
book: $(BIN)/installed
	$(BIN)/mdlib book

# What `make test` adds: whole chapters in small, `mdlib predict` with networks of every paper, pages in a browser, the
# built book and its notebooks, the installed wheel.
ADDED := recipes study/test_bundle.py study/test_inference.py test_site.py test_notebooks.py test_packaging.py
check: $(BIN)/installed
	$(BIN)/python -m ruff check .
	$(BIN)/python -m pytest tests -m "not soak" $(ADDED:%=--ignore=tests/%) --ignore-glob='*_browser.py'

# tests/test_notebooks.py compares the cells tagged nbval-check-output with the copies that `make book` has executed.
# To execute them again instead: pytest notebooks --nbval-lax --nbval-current-env --nbval-sanitize-with
# tests/nbval_sanitize.cfg, for all chapters or for the notebooks that are named.
test: book
	$(BIN)/python -m ruff check .
	$(BIN)/python -m pytest tests -m "not soak"

soak: $(BIN)/installed
	$(BIN)/python -m pytest tests -m soak

bench: $(BIN)/installed
	$(BIN)/mdlib run performance --fresh

# Exact pins for every system, from the ranges in pyproject.toml (needs uv); UPGRADE=--upgrade moves them all. Quantus
# asks for the OpenCV with windows, which needs libGL and overwrites the headless one of grad-cam: it is left out.
lock:
	echo "opencv-python ; sys_platform == 'never'" | uv pip compile --universal --python-version 3.11 \
	  --extra all pyproject.toml --override - --no-annotate --no-header \
	  --no-emit-index-url --no-emit-find-links $(UPGRADE) -o requirements.lock

clean:
	rm -rf _build data/runs/*/embedded data/phantoms
