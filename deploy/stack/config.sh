# shellcheck shell=bash
# Owns the stack's configuration: folders, ports, versions and which engine. Everything has a default and a CPQ_STACK_* variable.
# Sourced by deploy/stack.sh and by tools that must find a running stack; starts nothing.

REPOSITORY=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
DEPLOY=$REPOSITORY/deploy

# shellcheck source=../versions.env
. "$DEPLOY/versions.env"

absolute() { case $1 in /*) echo "$1" ;; *) echo "$REPOSITORY/$1" ;; esac; }

# Run data of this one stack, and the installed parts, which several stacks share.
STACK=$(absolute "${CPQ_STACK_DIR:-.stack}")
CACHE=$(absolute "${CPQ_STACK_CACHE:-.stack/dist}")
RUN=$STACK/run LOGS=$STACK/logs DATA=$STACK/data

# Without a word, the engine that this stack runs just now; else Camunda.
[ -s "$RUN/operaton.pid" ] && default_engine=operaton || default_engine=camunda
ENGINE=${CPQ_STACK_ENGINE:-$default_engine}
case $ENGINE in
  camunda | operaton) ;;
  *) echo "stack: CPQ_STACK_ENGINE is '$ENGINE'; expected camunda or operaton" >&2; exit 2 ;;
esac

PROFILE=${CPQ_PROFILE:-debug}
case $PROFILE in
  release | debug) ;;
  *) echo "stack: CPQ_PROFILE is '$PROFILE'; expected release or debug" >&2; exit 2 ;;
esac

# One offset moves every port, so that a second stack runs beside the first; each port can also be set by itself.
OFFSET=${CPQ_STACK_PORT_OFFSET:-0}
[[ $OFFSET =~ ^[0-9]{1,5}$ ]] || { echo "stack: CPQ_STACK_PORT_OFFSET is '$OFFSET'; expected a number from 0 to 40000" >&2; exit 2; }
POSTGRES_PORT=${CPQ_STACK_POSTGRES_PORT:-$((15432 + OFFSET))}
REDIS_PORT=${CPQ_STACK_REDIS_PORT:-$((16379 + OFFSET))}
KAFKA_PORT=${CPQ_STACK_KAFKA_PORT:-$((19092 + OFFSET))}
KAFKA_CONTROLLER_PORT=${CPQ_STACK_KAFKA_CONTROLLER_PORT:-$((19093 + OFFSET))}
REGISTRY_PORT=${CPQ_STACK_REGISTRY_PORT:-$((18081 + OFFSET))}
REGISTRY_ADMIN_PORT=${CPQ_STACK_REGISTRY_ADMIN_PORT:-$((18071 + OFFSET))}
ENGINE_PORT=${CPQ_STACK_ENGINE_PORT:-$((18090 + OFFSET))}
GATEWAY_ADDR=${CPQ_HTTP_ADDR:-127.0.0.1:$((8080 + OFFSET))}
STREAMS_ADDR=${CPQ_STREAMS_ADMIN_ADDR:-127.0.0.1:$((8082 + OFFSET))}
BRIDGE_ADDR=${CPQ_BRIDGE_ADMIN_ADDR:-127.0.0.1:$((8083 + OFFSET))}
SIMULATORS_ADDR=${CPQ_SIMULATORS_ADDR:-127.0.0.1:$((8084 + OFFSET))}

# Memory of the Java parts: modest, since everything shares one machine.
KAFKA_HEAP=${CPQ_STACK_KAFKA_HEAP:-640m}
ENGINE_HEAP=${CPQ_STACK_ENGINE_HEAP:-640m}
REGISTRY_HEAP=${CPQ_STACK_REGISTRY_HEAP:-384m}

# One broker on this machine's own addresses, or three in network namespaces (stack/cluster.sh).
BROKERS=${CPQ_STACK_BROKERS:-1}
case $BROKERS in
  1) KAFKAS=(kafka) KAFKA_ADDRESSES=127.0.0.1:$KAFKA_PORT ;;
  3) KAFKAS=(kafka1 kafka2 kafka3)
    # The third number of the addresses is this stack's own.
    CLUSTER_NETWORK=10.213.$((OFFSET / 250))
    KAFKA_ADDRESSES=$CLUSTER_NETWORK.1:9092,$CLUSTER_NETWORK.2:9092,$CLUSTER_NETWORK.3:9092 ;;
  *) echo "stack: CPQ_STACK_BROKERS is '$BROKERS'; expected 1 or 3" >&2; exit 2 ;;
esac

# Parts in the order of starting; they end in the opposite order.
PARTS=(postgres redis "${KAFKAS[@]}" registry "$ENGINE")
SERVICES=(simulators command-gateway streams camunda-bridge)

say() { printf 'stack: %s\n' "$*"; }
complain() { printf 'stack: %s\n' "$*" >&2; }
fail() { complain "$@"; exit 1; }
milliseconds() { local now=${EPOCHREALTIME/[.,]/}; echo $((now / 1000)); }
# since START: the seconds since, for a person
since() { local elapsed=$(($(milliseconds) - $1)); printf '%d.%d s' $((elapsed / 1000)) $((elapsed % 1000 / 100)); }
