# shellcheck shell=bash
# Owns the other way: the same parts and services in containers, for where a Docker engine answers. The containers publish the
# same ports on this machine, so STACK/env is the same.

use_compose() {
  [ "${CPQ_STACK_MODE:-}" != local ] && [ "$BROKERS" = 1 ] && docker info >/dev/null 2>&1 && docker compose version >/dev/null 2>&1
}

started_by_compose() { [ -e "$STACK/compose" ]; }

compose() { # the ports, engine and folders of this stack; one project per stack
  env "CPQ_STACK_UID=$(id -u)" "CPQ_STACK_GID=$(id -g)" "CPQ_STACK_MOUNT=$STACK" \
    "POSTGRES_PORT=$POSTGRES_PORT" "REDIS_PORT=$REDIS_PORT" "KAFKA_PORT=$KAFKA_PORT" "REGISTRY_PORT=$REGISTRY_PORT" "ENGINE_PORT=$ENGINE_PORT" \
    "GATEWAY_ADDR=$GATEWAY_ADDR" "STREAMS_ADDR=$STREAMS_ADDR" "BRIDGE_ADDR=$BRIDGE_ADDR" "SIMULATORS_ADDR=$SIMULATORS_ADDR" "COMPOSE_PROFILES=$ENGINE" \
    docker compose -f "$REPOSITORY/docker-compose.yml" -p "cpq-$(printf '%s' "$STACK" | sha256sum | cut -c1-8)" "$@"
}

up_compose() {
  local name container pid began
  say "a Docker engine answers: starting with docker compose (CPQ_STACK_MODE=local starts plain processes)"
  touch "$STACK/compose"; write_environment
  compose up --build --detach
  for name in postgres redis kafka registry "$ENGINE" "${SERVICES[@]}"; do
    container=$(compose ps -q "$name"); [ -n "$container" ] || fail "the container of $name did not start: docker compose logs $name"
    pid=$(docker inspect -f '{{.State.Pid}}' "$container"); echo "$pid $(start_time "$pid")" >"$RUN/$name.pid"
  done
  for name in "${SERVICES[@]}"; do
    began=$(milliseconds)
    until http_ok "http://$(address_of "$name")/$(readiness_of "$name")" 2>/dev/null; do
      [ $(($(milliseconds) - began)) -lt 90000 ] || { compose logs --tail "$LOG_TAIL" "$name" >&2; fail "$name did not become ready in 90 s"; }
      sleep 0.2
    done
  done
  say "all is up: gateway http://$GATEWAY_ADDR; variables: . ${STACK#"$REPOSITORY"/}/env"
}

down_compose() { compose down; rm -f "$RUN"/*.pid "$STACK/compose"; }
wipe_compose() { compose down --volumes; rm -f "$RUN"/*.pid "$STACK/compose"; }
