# Everything a person runs. `make` alone lists it.
.DEFAULT_GOAL := help
SHELL := /bin/sh
.PHONY: help venv venv-dev venv-train venv-bench run test lint format types contracts audit check lock seed-demo bench fuzz-api train messages screenshots tour clean

VENV := .venv
PY := $(VENV)/bin/python
PORT ?= 8000
export PYTHONDONTWRITEBYTECODE :=

help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' Makefile

venv: ## Make .venv with what the application needs
	@.ci/venv requirements.txt

venv-dev: ## ... and with what developing and testing needs
	@.ci/venv requirements.txt requirements-dev.txt

venv-train: ## ... and with what training needs
	@.ci/venv requirements.txt requirements-dev.txt requirements-train.txt

venv-bench: ## ... and with what the benchmarks compare with
	@.ci/venv requirements.txt requirements-dev.txt requirements-train.txt requirements-bench.txt

run: venv ## Start everything on this machine; Ctrl-C stops it (PORT=8000)
	@exec "$(PY)" -m skinapp.runtime run --port "$(PORT)"

test: venv-dev ## Run the whole suite on throw-away servers
	@.ci/test

lint: venv-dev ## Check style and templates
	@"$(PY)" -m ruff check .
	@"$(PY)" -m ruff format --check .
	@"$(PY)" -m djlint --check --quiet templates || { "$(PY)" -m djlint --check templates; exit 1; }
	@"$(PY)" -m djlint --lint --quiet templates

format: venv-dev ## Format the code and the templates
	@"$(PY)" -m ruff check --fix --exit-zero --quiet .
	@"$(PY)" -m ruff format .
	@"$(PY)" -m djlint --reformat --quiet templates || true

types: venv-dev ## Check types
	@"$(PY)" -m mypy mlcore classifier skinapp tests bench

contracts: venv-dev ## Check who may import whom
	@"$(VENV)/bin/lint-imports" --no-cache

audit: venv-dev ## Look for known weaknesses in the code and the pinned packages
	@.ci/audit

check: venv-dev ## Check migrations and the production settings
	@.ci/check

lock: venv-dev ## Compile the pinned requirements again (needs uv)
	@for name in requirements requirements-dev requirements-train requirements-bench; do \
	  uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header "$$name.in" -o "$$name.txt" || exit 1; \
	done

seed-demo: venv ## Add more drawn patients to the running installation (PATIENTS=12)
	@"$(PY)" -m skinapp.runtime manage seed_demo --patients "$${PATIENTS:-12}"

bench: ## Measure everything and write docs/performance.md (QUICK=1: minutes, into var/bench/)
	@$(MAKE) --no-print-directory venv-bench || $(MAKE) --no-print-directory venv-dev
	@"$(PY)" -m bench $(if $(QUICK),--quick)

fuzz-api: venv-dev ## Let schemathesis look for answers that the API's document does not tell of (API_FUZZ_SECONDS=120)
	@API_FUZZ_SECONDS="$${API_FUZZ_SECONDS:-120}" "$(PY)" -m pytest -n 0 -q tests/api/test_api_schema.py

train: venv-train ## Train and measure the networks again (needs the public image sets)
	@.ci/train

messages: venv ## Look for texts to translate, and compile what is translated (needs GNU gettext)
	@DJANGO_SETTINGS_MODULE=skinapp.settings.local "$(PY)" manage.py makemessages --all --add-location file --no-wrap --no-obsolete $(addprefix -i ,.venv tests bench docs var)
	@DJANGO_SETTINGS_MODULE=skinapp.settings.local "$(PY)" manage.py compilemessages -i .venv

screenshots: venv-dev ## Take the README's screenshots from the demo clinic
	@"$(PY)" -m tests.browser.screenshots

tour: venv-dev ## Take a picture of every page and let axe judge it (docs/tour.md)
	@"$(PY)" -m tests.browser.tour

clean: ## Remove .venv and caches; var/ (the data) stays
	rm -rf "$(VENV)" .mypy_cache .ruff_cache .pytest_cache .import_linter_cache htmlcov .coverage .coverage.*
