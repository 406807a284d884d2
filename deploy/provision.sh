#!/usr/bin/env bash
# Makes the running parts ready for the services: tables, topics, schemas, models, reference data. Each step may be repeated.
# The same in both ways: deploy/stack.sh runs it with the built `cpq`, docker-compose.yml in its container of that name.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
CPQ=${CPQ_COMMAND:-cpq}

step() {
  local began=${EPOCHREALTIME/[.,]/} elapsed output
  if ! output=$("$CPQ" "$@" 2>&1); then
    printf 'stack: cpq %s failed:\n%s\n' "$*" "$output" >&2; exit 1
  fi
  elapsed=$(((${EPOCHREALTIME/[.,]/} - began) / 1000))
  printf 'stack: %-34s done in %d.%d s\n' "cpq $*" $((elapsed / 1000)) $((elapsed % 1000 / 100))
}

# An existing key is kept: tokens stay good over a restart.
if [ ! -s "$CPQ_OIDC_DEV_KEY" ] || [ ! -s "$CPQ_OIDC_JWKS" ]; then step token --init-dev-key "$(dirname "$CPQ_OIDC_DEV_KEY")"; fi
step migrate
step topics apply
step schemas register
step workflow deploy
step import deploy/reference-data
