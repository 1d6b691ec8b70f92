#!/bin/sh
# Install the commands that tests need and this machine lacks: sh scripts/install_missing.sh COMMAND[=PACKAGE]...
#
# A command's Debian package has its name unless another is given. Root gets it; everybody else is told, and the
# tests that need it say so.
set -eu

PATH="$PATH:/usr/sbin:$(echo /usr/lib/postgresql/*/bin | tr " " :)" # what Debian keeps off the path of most people
missing=
for wanted in "$@"; do
    command -v "${wanted%%=*}" >/dev/null 2>&1 || missing="$missing ${wanted#*=}"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "setup: some tests cannot run without$missing; install it to run them" >&2
    exit 0
fi
echo "setup: installing$missing"
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then # a package that brings a service must not start it
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
fi
apt-get update -qq >/dev/null
# shellcheck disable=SC2086  # one argument for each package
apt-get install -y -qq --no-install-recommends $missing >/dev/null
