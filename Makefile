# make demo: a whole sweep from a clean checkout; make test: all tests; make test-fast: those without servers and TensorFlow; make check: lint and types; make docs: the manual.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: install demo test test-fast check package docs

install: $(VENV)/.installed

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; say which with make PYTHON=...")'
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "make: python's venv module is missing (Debian: apt-get install python3-venv)"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1' # the first that knows dependency groups

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --group dev \
		--editable '.[train,postgresql,mysql,s3,kubernetes,parquet]'
	@touch $@ $(VENV)/.demo

# What a sweep needs, without what tests need; pip shows its progress.
$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo '1 of 2: install TensorFlow, Keras, Optuna and others into $(VENV): 0.6 GB to download, 2.3 GB on disk, this once'
	$(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt --editable '.[train]'
	@touch $@

demo: $(VENV)/.demo
	@echo '2 of 2: a sweep of 32 short trainings, four to five minutes on two cores; Ctrl-C stops it, make demo goes on'
	$(BIN)/sweeps run search_spaces/quickstart.toml

test: install
	$(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder --max-worker-restart 1

# Without servers and TensorFlow, in a minute or two.
test-fast: install
	WITHOUT_TENSORFLOW=1 PYTHONPATH=$(CURDIR)/tests/hidden_packages $(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder --max-worker-restart 1 \
		--ignore tests/nn --ignore tests/integrations/test_keras.py -m 'not tensorflow and not server and not slow'

check: install
	$(BIN)/pre-commit run --all-files

# The distribution as others get it: built, checked, and tried in an environment of its own without TensorFlow.
package: install
	rm -rf dist build
	$(BIN)/python -m build --quiet
	$(BIN)/twine check --strict dist/*
	$(PYTHON) -m venv --clear build/venv
	build/venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt dist/*.whl
	build/venv/bin/sweeps --version
	build/venv/bin/sweeps status --storage sqlite:///build/none.db; test $$? = 2
	build/venv/bin/python -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("tensorflow") is not None)'

docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo 'built in site/; with its search: $(BIN)/python -m http.server --directory site'
