# Needs python3 (3.11 or later) with venv, nothing else. Everything is installed into $(VENV) inside the checkout.
VENV ?= .venv
DESIGN := src/sparseloop/designs/eyeriss_v1
BIN := $(VENV)/bin
# Installed once per state of pyproject.toml: its checksum is part of the stamps' names.
STATE := $(VENV)/installed-$(shell cksum < pyproject.toml | tr ' ' '-')
BASE := $(STATE)-base
TEST := $(STATE)-test
DEV := $(STATE)-dev
DOCS := $(STATE)-docs

.PHONY: demo test oldest fuzz draws lint bench docs clean
.DELETE_ON_ERROR:

demo: $(BASE) ## evaluate the shipped design: Eyeriss v1, AlexNet conv3, sparse
	@$(BIN)/sparseloop eval $(DESIGN)/architecture.yaml $(DESIGN)/sparse.yaml $(DESIGN)/conv3.yaml

test: $(TEST) ## the whole suite
	@$(BIN)/python -m pytest -q -n auto --dist loadfile

oldest: ## the unit tests with the oldest versions that pyproject.toml admits, in an environment of its own
	@python3 -m venv .venv-oldest
	@.venv-oldest/bin/python -m pip install --quiet --disable-pip-version-check uv
	@.venv-oldest/bin/uv pip install --quiet --python .venv-oldest --resolution lowest-direct --editable '.[test]'
	@.venv-oldest/bin/python -m pytest -q tests/unit

fuzz: MINUTES ?= 10
fuzz: WORKERS ?= 2
fuzz: $(TEST) ## random specifications, model against walker, for MINUTES with a fresh SEED; KIND: of one kind only
	@$(BIN)/python -m tests.property.fuzz.run --minutes $(MINUTES) --workers $(WORKERS) $(SEED:%=--seed %) $(if $(KIND),--kind "$(KIND)")

draws: $(TEST) ## the property tests with fresh draws, and the long tests that `make test` leaves out
	@$(BIN)/python -m pytest -q -n auto --hypothesis-profile fresh -m "" tests/property tests/golden tests/paper

lint: $(DEV) ## style, types, layers
	@$(BIN)/ruff check src tests bench docs
	@$(BIN)/ruff format --check src tests bench docs/conf.py docs/_ext
	@$(BIN)/pyright --pythonpath $(BIN)/python
	@$(BIN)/lint-imports

docs: $(DOCS) ## the documentation, into docs/_build/html; a warning is an error
	@$(BIN)/sphinx-build -q -W --keep-going -n docs docs/_build/html

bench: $(TEST) ## speed and memory; asserts nothing
	@$(BIN)/python -m pytest -q bench --benchmark-columns=median,min,rounds --benchmark-sort=name

clean: ## remove the environment and all caches
	rm -rf $(VENV) .venv-ci .venv-oldest .pytest_cache .hypothesis .ruff_cache .import_linter_cache .benchmarks build dist docs/_build
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

$(BASE): EXTRAS =
$(TEST): EXTRAS = [test]
$(DEV): EXTRAS = [test,dev]
$(DOCS): EXTRAS = [docs]
$(BASE) $(TEST) $(DEV) $(DOCS):
	@test -x $(BIN)/python || python3 -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.$(EXTRAS)'
	@rm -f $(filter-out $(STATE)-%,$(wildcard $(VENV)/installed-*))
	@test $@ != $(DEV) || touch $(TEST)
	@touch $(BASE) $@
