#!/bin/sh
# Make a virtual environment: sh scripts/make_venv.sh DIRECTORY
#
# Uses $PYTHON if set, else the first interpreter that Atalaia supports. Debian and Ubuntu ship Python without
# ensurepip; if it is missing, root gets the package and everybody else gets told which one.
set -eu

directory=$1

supported() {
    command -v "$1" >/dev/null 2>&1 &&
        "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' >/dev/null 2>&1
}

python=
for candidate in ${PYTHON:-python3 python3.11 python3.12 python3.13}; do
    if supported "$candidate"; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "setup: needs Python 3.11, 3.12 or 3.13 (looked for: ${PYTHON:-python3 python3.11 python3.12 python3.13})" >&2
    echo "setup: install one, or name it: make setup PYTHON=/path/to/python3.11" >&2
    exit 1
fi

if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
    package=python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        echo "setup: $python cannot make virtual environments; install $package and try again" >&2
        exit 1
    fi
    echo "setup: installing $package"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >/dev/null
    apt-get install -y -qq --no-install-recommends "$package" >/dev/null
fi

echo "setup: making $directory with $("$python" --version)"
"$python" -m venv "$directory"
