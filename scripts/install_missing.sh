#!/bin/sh
# Install the commands that tests need and this machine lacks: sh scripts/install_missing.sh COMMAND...
#
# A command's Debian package has its name. Root gets it; everybody else is told, and the tests that need it say so.
set -eu

missing=
for command in "$@"; do
    command -v "$command" >/dev/null 2>&1 || missing="$missing $command"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "setup-dev: some tests are skipped without$missing; install it to run them" >&2
    exit 0
fi
echo "setup-dev: installing$missing"
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
