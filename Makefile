# Everything here runs in .venv, made from the hashed locks: a fresh clone needs Python >= 3.10 with venv, git and make.

.PHONY: schemas prism fuzz-comment demo test check coverage bench lock clean bytecode
.DELETE_ON_ERROR:

PY := .venv/bin/python

demo: .venv/core bytecode
	PYTHON="$(CURDIR)/$(PY)" sh scripts/demo.sh

check: .venv/dev
	$(PY) -m ruff check .
	$(PY) -m mypy
	.venv/bin/lint-imports --no-cache

test: check bytecode
	$(PY) -m pytest -n auto --dist loadfile

# As an installed package has it: without it, and where PYTHONDONTWRITEBYTECODE is set, every start compiles 0.2 s long.
bytecode: .venv/core
	@$(PY) -m compileall -q bot bench

# Apart, since it makes the tests take several times as long.
coverage: .venv/dev
	$(PY) -m pytest --cov --cov-report=term:skip-covered

bench: .venv/core bytecode
	$(PY) bench/run.py

# pip refuses any file whose hash is not in the lock.
.venv/core: requirements.lock
	@sh scripts/venv.sh .venv
	$(PY) -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

.venv/dev: requirements-dev.lock .venv/core
	$(PY) -m pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

# Whether the extracts in tests/github are what GitHub's pinned packages give. Needs npm.
schemas: .venv/core
	cd tests && npm ci --ignore-scripts --no-audit --no-fund --silent
	$(PY) scripts/github_schemas.py --check

# A second opinion on what is asked of GitHub. Needs npm; takes a minute.
prism: .venv/dev
	cd tests/prism && npm ci --ignore-scripts --no-audit --no-fund --silent
	$(PY) scripts/prism.py

# 10,000 random comments; takes ten minutes.
fuzz-comment: .venv/dev
	$(PY) scripts/fuzz_comment.py

# Needs uv (https://docs.astral.sh/uv/). All locks hold for Python 3.10 to 3.13.
LOCK := uv pip compile pyproject.toml --universal --python-version 3.10 --generate-hashes --no-header -q
lock:
	$(LOCK) -o requirements.lock
	$(LOCK) --extra dev --extra render -c requirements.lock -o requirements-dev.lock
	$(LOCK) --extra app --extra render -c requirements-dev.lock -o requirements-app.lock

clean:
	rm -rf .venv .mypy_cache .ruff_cache .hypothesis .coverage build dist
