# One command for each thing one does with this repository. `make help` lists them.
#
# Every command makes .venv by itself and installs into it what it needs, at the
# versions of constraints.txt. What is there already is used again.

# The versions for which constraints.txt has wheels. With another `python3`, one of
# these is looked for; or name it: make PYTHON=/path/to/python3.12 ...
SUPPORTED := sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; $(SUPPORTED)' 2>&- && echo $$python && break; done)
VENV := .venv
BIN := $(VENV)/bin
BACKENDS := jax torch tensorflow
# The backend of `make demo` and `make tutorials`; the extra [demo] installs it.
DEMO_BACKEND := jax
# What pytest gets besides, for example `make test PYTEST_ARGS="-k beam -x"`.
PYTEST_ARGS ?=
# Test processes at a time; 0 for one without helpers, as debuggers want it.
WORKERS ?= 2
# What `make tutorials` runs, for example TUTORIALS=tutorials/01_additive_attention.py.
TUTORIALS ?= $(wildcard tutorials/[0-9]*.py)

# Without the warning that each editable install prints.
INSTALL := PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	--constraint constraints.txt
SETTINGS := pyproject.toml constraints.txt
# One empty file for each set of packages, newer than the settings it was made from.
DEMO := $(VENV)/.installed-demo
DEV := $(VENV)/.installed-dev
LINT := $(VENV)/.installed-lint

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-all lint format tutorials pictures bench constraints install \
	clean

help:  ## This list
	@grep -E '^[a-z-]+:.*  ## ' $(MAKEFILE_LIST) | sed -E 's/:.*  ## /|/' \
		| awk -F '|' '{ printf "  make %-12s %s\n", $$1, $$2 }'

demo: $(DEMO)  ## Learn to describe small pictures, and show where the model looks
	KERAS_BACKEND=$(DEMO_BACKEND) $(BIN)/python -m keras_attention demo

# $(call tests,MARKERS): one process for each backend, then one for what does not
# depend on the backend (packaging, names, isolation, the wheel). All of them run,
# whichever fails; the last lines sum them up. pytest ends with 5 where PYTEST_ARGS
# chose no test of a process.
define tests
	@failed=""; summary=""; \
	run() { \
		title=$$1; backend=$$2; markers=$$3; \
		printf '\n== %s\n' "$$title"; \
		log=$$(mktemp); \
		{ KERAS_BACKEND=$$backend $(BIN)/python -m pytest -q -m "$$markers" \
			-n $(WORKERS) --dist worksteal $(PYTEST_ARGS); echo $$? > $$log.status; } | tee $$log; \
		status=$$(cat $$log.status); \
		if [ $$status -eq 5 ] && [ -n '$(PYTEST_ARGS)' ]; then status=0; fi; \
		if [ $$status -ne 0 ]; then failed="$$failed $$title"; fi; \
		summary="$$summary$$(printf '%-12s %s' "$$title" "$$(tail -n 1 $$log)")\n"; \
		rm -f $$log $$log.status; \
	}; \
	for backend in $(BACKENDS); do run $$backend $$backend "not once$(1)"; done; \
	run once jax "once$(1)"; \
	printf '\n%b' "$$summary"; \
	if [ -n "$$failed" ]; then echo "Failed:$$failed"; exit 1; fi
endef

test: $(DEV)  ## All tests but the slow ones, on JAX, PyTorch and TensorFlow
	$(call tests, and not slow)

test-all: $(DEV)  ## All tests, on the three backends
	$(call tests,)

lint: $(LINT)  ## Check the style of the code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(LINT)  ## Bring the code into that style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

tutorials: $(DEV)  ## Run the tutorials, and write their notebooks from what they show
	@for script in $(TUTORIALS); do \
		notebook=$${script%.py}.ipynb; \
		printf '\n== %s\n' "$$notebook"; \
		$(BIN)/jupytext --quiet --to ipynb --set-kernel python3 --update $$script \
		&& env -u MPLBACKEND -u STEPS KERAS_BACKEND=$(DEMO_BACKEND) TF_ENABLE_ONEDNN_OPTS=0 \
			$(BIN)/jupyter-nbconvert --log-level ERROR --to notebook --inplace --execute \
			--coalesce-streams --ExecutePreprocessor.record_timing=False $$notebook \
		|| exit 1; \
	done

pictures: $(DEV)  ## Train tiny models, and draw the pictures of docs/ from them
	env -u MPLBACKEND KERAS_BACKEND=$(DEMO_BACKEND) $(BIN)/python docs/pictures.py

# What the benchmarks share.
BENCH_SHARED := $(addprefix benchmarks/,contenders.py harness.py memory.py)

bench: $(DEV)  ## Time this library against others, on each backend
	@for script in $(filter-out $(BENCH_SHARED),$(wildcard benchmarks/*.py)); do \
		for backend in $(BACKENDS); do \
			printf '\n== %s, %s\n' "$$script" "$$backend"; \
			KERAS_BACKEND=$$backend $(BIN)/python $$script --quick || exit 1; \
		done; \
	done

install: $(DEV)  ## Only make .venv, with all that the tests need

constraints: $(DEV)  ## Write constraints.txt from what .venv holds now
	@{ sed -n '/^#/p' constraints.txt; \
		$(BIN)/python -m pip list --disable-pip-version-check --format=freeze \
			--exclude-editable --exclude pip | sed 's/+cpu$$//'; } > constraints.tmp
	@mv constraints.tmp constraints.txt

clean:  ## Delete what builds and tests leave behind, and .venv
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache

$(BIN)/python:
	@$(or $(PYTHON),python3) -c 'import sys; $(SUPPORTED)' || { \
		echo "Received: $$($(or $(PYTHON),python3) --version 2>&1)."; \
		echo "Expected: Python 3.11, 3.12 or 3.13."; \
		echo "Name one: make PYTHON=/path/to/python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(LINT): $(SETTINGS) | $(BIN)/python
	$(INSTALL) ruff
	@touch $@

$(DEMO): $(SETTINGS) | $(BIN)/python
	$(INSTALL) --editable ".[demo]"
	@touch $@

# [dev] holds all that the other two need.
$(DEV): $(SETTINGS) | $(BIN)/python
	$(INSTALL) --editable ".[dev]"
# Alone: what else they name are a second TensorFlow, what its hub needs, and torchvision.
	$(INSTALL) --no-deps keras-hub timm
	@touch $(LINT) $(DEMO) $@
