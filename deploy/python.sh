#!/usr/bin/env bash
# Python with the packages of e2e/python/requirements.txt: deploy/python.sh e2e/python/read_topics.py ... ; without an argument
# it only makes sure that they are there. They are installed once, into a venv that all stacks of this cache share.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=stack/config.sh
. "$HERE/stack/config.sh"

REQUIREMENTS=$REPOSITORY/e2e/python/requirements.txt
VENV=$CACHE/python
# A package index's hiccup is no reason to fail.
DOWNLOAD_TRIES=3

# A venv is bound to the interpreter that made it.
wanted=$({ cat "$REQUIREMENTS"; python3 -c 'import sys; print(sys.executable, sys.version)'; } | sha256sum | cut -c1-16)
present() { [ "$(cat "$VENV/.stamp" 2>/dev/null)" = "$wanted" ]; }

# Without pip of its own: Debian has the module for that in a package of its own, which nothing else here needs.
fill() {
  rm -rf "$VENV"
  python3 -m venv --without-pip "$VENV" && python3 -m pip --python "$VENV/bin/python" install -q -r "$REQUIREMENTS"
}

make_venv() {
  local began try; began=$(milliseconds)
  python3 -m pip --version >/dev/null || fail 'Python 3 has no pip; on Debian: apt-get install python3-pip'
  say "installing the Python packages of e2e/python/requirements.txt (PyPI) ..."
  for ((try = 1; ; try++)); do
    if fill; then break; fi
    [ "$try" -lt "$DOWNLOAD_TRIES" ] || fail "installing the Python packages failed $try times"
    complain 'installing the Python packages failed; trying again'; sleep "$try"
  done
  echo "$wanted" >"$VENV/.stamp"
  say "installed the Python packages in $(since "$began")"
}

mkdir -p "$CACHE"
# Several tests may come at once: one installs, the others find it done. What is said does not mix with the program's output.
exec 8>"$CACHE/.python.lock"; flock 8
present || make_venv >&2
exec 8>&-
[ "$#" = 0 ] || exec "$VENV/bin/python" "$@"
