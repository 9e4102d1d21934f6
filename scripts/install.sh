#!/bin/sh
# The action's folder and the folder of a virtual environment in; makes it and installs the locked packages, each checked by its hash.
set -eu
action=$1
folder=$2
sh "$action/scripts/venv.sh" "$folder"
"$folder/bin/python" -m pip install -q --disable-pip-version-check --no-input --only-binary :all: --require-hashes \
    -r "$action/requirements.lock"
