#!/usr/bin/env bash
# The drill `three-brokers`, on a stack of its own whose Kafka is three brokers in network namespaces (as root). The stack, its data and
# its network are removed afterwards, whatever happened. Arguments go to the drill.
# Variables: CPQ_BROKERS_STACK_DIR (.stack-brokers); CPQ_BROKERS_PORT_OFFSET (3000).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# A shell that has read a running stack's env must not point the drill at that stack.
engine=${CPQ_STACK_ENGINE:-camunda} cache=${CPQ_STACK_CACHE:-.stack/dist} profile=${CPQ_PROFILE:-debug}
stack=${CPQ_BROKERS_STACK_DIR:-.stack-brokers} offset=${CPQ_BROKERS_PORT_OFFSET:-3000}
for name in $(compgen -v CPQ_); do unset "$name"; done
export CPQ_STACK_DIR=$stack CPQ_STACK_CACHE=$cache CPQ_STACK_PORT_OFFSET=$offset CPQ_STACK_ENGINE=$engine CPQ_STACK_MODE=local CPQ_PROFILE=$profile
export CPQ_STACK_BROKERS=3

finish() { local code=$?; trap - EXIT INT TERM; deploy/stack.sh wipe || code=1; exit "$code"; }
trap finish EXIT
trap 'exit 130' INT TERM

deploy/stack.sh wipe
deploy/stack.sh up
deploy/stack.sh run drill three-brokers "$@"
