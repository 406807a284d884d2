#!/usr/bin/env bash
# All checks and tests: form, lints, licences where cargo-deny is there, then the workspace's tests on a real stack of their own
# (own ports, own data), which ends and is removed afterwards, whatever happened. Exit 0 only if every step passed.
# Variables: CPQ_TEST_KEEP=1 leaves the stack running; CPQ_TEST_STACK_DIR (.stack-test); CPQ_TEST_PORT_OFFSET (12000).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# A shell that has read a running stack's env must not point the tests at that stack.
engine=${CPQ_STACK_ENGINE:-camunda}
keep=${CPQ_TEST_KEEP:-} stack=${CPQ_TEST_STACK_DIR:-.stack-test} offset=${CPQ_TEST_PORT_OFFSET:-12000} cache=${CPQ_STACK_CACHE:-.stack/dist}
for name in $(compgen -v CPQ_); do unset "$name"; done
export CPQ_STACK_DIR=$stack CPQ_STACK_CACHE=$cache CPQ_STACK_PORT_OFFSET=$offset CPQ_STACK_ENGINE=$engine CPQ_STACK_MODE=local
# Debug binaries, built together with the tests: nothing is built twice, nothing in release.
export CPQ_PROFILE=debug CPQ_STACK_BUILD_TARGETS='--workspace --all-targets'

# A test that hangs ends the run, with its name as the last that was "running for over 60 seconds".
MOST_MINUTES=45

output=$(mktemp -d)
summary=() failed=0

step() { # TITLE COMMAND...: run it, remember how it went; a failed step does not hide the next
  local title=$1 began=$SECONDS result=passed; shift
  printf '\n==> %s\n' "$title"
  if ! "$@"; then result=FAILED; failed=1; fi
  summary+=("$(printf '%-44s %-8s %4d s' "$title" "$result" $((SECONDS - began)))")
  [ "$result" = passed ]
}

skip() { printf '\n==> %s: skipped, %s\n' "$1" "$2"; summary+=("$(printf '%-44s %-8s %s' "$1" skipped "$2")"); }

finish() {
  local code=$?; trap - EXIT INT TERM
  if [ -n "$keep" ]; then echo "the test stack still runs: . $stack/env"
  else deploy/stack.sh wipe || failed=1; fi
  printf '\n%s\n' '---- summary ----'; printf '%s\n' "${summary[@]}"
  # Over all test programs, from the closing line of each.
  awk '/^test result:/ { passed += $4; failing += $6; ignored += $8 } END { if (NR) printf "tests: %d passed, %d failed, %d skipped\n", passed, failing, ignored }' "$output/tests" 2>/dev/null || true
  rm -rf "$output"
  [ "$code" = 0 ] && [ "$failed" = 0 ] || exit 1
}
trap finish EXIT
trap 'exit 130' INT TERM

run_tests() {
  # shellcheck source=/dev/null
  . "$stack/env"
  timeout --kill-after=60 "${MOST_MINUTES}m" cargo test --workspace --no-fail-fast 2>&1 | tee "$output/tests"
}

fresh_stack() { deploy/stack.sh wipe && deploy/stack.sh up; }

step 'Scripts and settings' deploy/check.sh || true
# The compiler's own needs (zlib for librdkafka) come before the first build.
step 'Install what is missing' deploy/stack.sh install || exit 1
step 'Format (cargo fmt)' cargo fmt --all --check || true
step 'Lints (clippy, warnings are errors)' cargo clippy --workspace --all-targets --quiet -- -D warnings || true
if [ ! -e deny.toml ] || ! cargo deny --version >/dev/null 2>&1; then skip 'Licences and sources (cargo deny)' 'no cargo-deny here'
else step 'Licences and sources (cargo deny)' cargo deny --offline check bans licenses sources || true; fi
step 'Build, and start the test stack' fresh_stack || exit 1
step 'Tests (cargo test)' run_tests || true
