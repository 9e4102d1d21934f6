#!/bin/sh
# Reviews the pull request of fixtures/three-tier in a Git repository made for it, and leaves nothing behind.
#
#   PYTHON   the Python that has netreach's dependencies (default python3)
#   FORMAT   text (default), markdown, json, ...
set -eu

project=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
python=${PYTHON:-python3}
format=${FORMAT:-text}
case $python in
*/*) python=$(CDPATH='' cd -- "$(dirname -- "$python")" && pwd)/$(basename -- "$python") ;;
esac

unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_COMMON_DIR GIT_NAMESPACE
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
# A fixed author and time: the same commits, and so the same review to the byte, on every machine.
export GIT_AUTHOR_NAME=demo GIT_AUTHOR_EMAIL=demo@example.invalid GIT_AUTHOR_DATE='2026-01-05T09:00:00Z'
export GIT_COMMITTER_NAME=demo GIT_COMMITTER_EMAIL=demo@example.invalid GIT_COMMITTER_DATE='2026-01-05T09:00:00Z'

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

repository=$scratch/shop
mkdir "$repository"
cd "$repository"
git init --quiet
git symbolic-ref HEAD refs/heads/main
cp -R "$project/fixtures/three-tier/base/." .
git add --all
git commit --quiet --message 'Three tiers behind a default deny'
git checkout --quiet -b pull-request
git rm --quiet -r .
cp -R "$project/fixtures/three-tier/head/." .
git add --all
git commit --quiet --message 'Product search straight from the web tier'
git checkout --quiet main

PYTHONPATH=$project${PYTHONPATH:+:$PYTHONPATH} "$python" -m bot diff main pull-request --exit-zero --format "$format"

if [ "$format" = text ]; then
    cat >&2 <<'END'

The comment on the pull request:  FORMAT=markdown make demo
The same without Git:             netreach diff --dirs fixtures/three-tier/base fixtures/three-tier/head
END
fi
