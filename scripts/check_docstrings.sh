#!/usr/bin/env bash
# numpydoc validation of every public name (checks are in pyproject.toml)
set -euo pipefail
git ls-files 'sse_screen/*.py' 'workflows/*.py' 'builders/*.py' 'api/*.py' | grep -v '^sse_screen/cli/' |
    xargs "$1" -m numpydoc.hooks.validate_docstrings
