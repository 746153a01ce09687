# make demo: a whole sweep from a clean checkout; make test: all tests; make test-fast: those without servers and TensorFlow; make check: lint and types; make docs: the manual.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: install demo test test-fast check docs

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; say which with make PYTHON=...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "make: python's venv module is missing (Debian: apt-get install python3-venv)"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: install
	$(BIN)/sweeps run search_spaces/quickstart.toml

test: install
	$(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder

# Without servers and TensorFlow, in two minutes.
test-fast: install
	PYTHONPATH=tests/without_tensorflow $(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder \
		--ignore tests/nn --ignore tests/integrations/test_keras.py -m 'not tensorflow and not server and not slow'

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo 'built in site/; with its search: $(BIN)/python -m http.server --directory site'
