#!/usr/bin/env bash
# The benchmarks, on a stack of their own (own ports, own data, release build), which ends and is removed afterwards. Arguments go to
# the program: deploy/bench.sh --help. Best on a machine that does nothing else.
# Variables: CPQ_BENCH_KEEP=1 leaves the stack running; CPQ_BENCH_STACK_DIR (.stack-bench); CPQ_BENCH_PORT_OFFSET (6000).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# A shell that has read a running stack's env must not point the benchmarks at that stack.
engine=${CPQ_STACK_ENGINE:-camunda}
keep=${CPQ_BENCH_KEEP:-} stack=${CPQ_BENCH_STACK_DIR:-.stack-bench} offset=${CPQ_BENCH_PORT_OFFSET:-6000} cache=${CPQ_STACK_CACHE:-.stack/dist}
for name in $(compgen -v CPQ_); do unset "$name"; done
export CPQ_STACK_DIR=$stack CPQ_STACK_CACHE=$cache CPQ_STACK_PORT_OFFSET=$offset CPQ_STACK_ENGINE=$engine CPQ_STACK_MODE=local CPQ_PROFILE=release
# Each client is an actor; the limit of an actor must not be what is measured.
export CPQ_RATE_LIMIT_PER_SECOND=100000 CPQ_RATE_LIMIT_BURST=100000

finish() {
  local code=$?; trap - EXIT INT TERM
  if [ -n "$keep" ]; then echo "the stack of the benchmarks still runs: . $stack/env"; else deploy/stack.sh wipe; fi
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT TERM

# Built before anything runs that it could disturb; only R10 needs it.
if [[ " $* " != *" --only"* || " $* " == *r10* ]]; then deploy/bench-guards.sh; fi
deploy/stack.sh wipe
deploy/stack.sh up
deploy/stack.sh run bench "$@"
