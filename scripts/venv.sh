#!/bin/sh
# The folder of a virtual environment in; makes it with the first Python >= 3.10 there is, unless it is there already.
set -eu
folder=$1
good='import sys; sys.exit(sys.version_info < (3, 10))'
if [ -x "$folder/bin/python" ] && "$folder/bin/python" -c "$good" 2>/dev/null; then
    exit 0
fi
for python in "${PYTHON:-python3}" python3 python3.13 python3.12 python3.11 python3.10 python; do
    if "$python" -c "$good" 2>/dev/null; then
        "$python" -m venv --clear "$folder" && exit 0
        echo "$python cannot make a virtual environment: install its venv module (Debian: apt install python3-venv)" >&2
        exit 1
    fi
done
echo "no Python 3.10 or newer found: install one, or set PYTHON to it" >&2
exit 1
