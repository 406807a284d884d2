#!/usr/bin/env bash
# The stack's command: installs, starts, shows and ends the parts and the services as plain local processes or, where a Docker
# engine answers, in containers. What each part is lives in deploy/stack/*.sh.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=stack/config.sh
. "$HERE/stack/config.sh"
# shellcheck source=stack/process.sh
. "$HERE/stack/process.sh"
# shellcheck source=stack/java.sh
. "$HERE/stack/java.sh"
# shellcheck source=stack/install.sh
. "$HERE/stack/install.sh"
# shellcheck source=stack/parts.sh
. "$HERE/stack/parts.sh"
# shellcheck source=stack/cluster.sh
. "$HERE/stack/cluster.sh"
# shellcheck source=stack/environment.sh
. "$HERE/stack/environment.sh"
# shellcheck source=stack/services.sh
. "$HERE/stack/services.sh"
# shellcheck source=stack/compose.sh
. "$HERE/stack/compose.sh"
cd "$REPOSITORY"

usage() {
  cat <<END
deploy/stack.sh COMMAND
  up                 install what is missing, start the parts, build, provision, start the services; write STACK/env
  parts              only the parts: PostgreSQL, Redis, Kafka, registry, engine
  services           only build, provision and the services, on running parts
  down               end what was started, keep the data
  wipe [--installed] end it and remove its data (with --installed: what was downloaded too)
  status             what runs, where; exit 1 if something that was started is gone
  start|stop|kill|restart NAME...   single processes (kill is SIGKILL); NAME: ${PARTS[*]} engine ${SERVICES[*]}
  install            only install what is missing
  run NAME [ARG...]  a built program (demo, bench, drill, cpq) with the environment of this stack
Variables: CPQ_STACK_DIR (.stack), CPQ_STACK_CACHE (.stack/dist), CPQ_STACK_PORT_OFFSET (0), CPQ_STACK_ENGINE (camunda|operaton),
  CPQ_STACK_BROKERS (1, or 3 in network namespaces), CPQ_PROFILE (debug|release), CPQ_STACK_MODE (local: never Docker), CPQ_STACK_{POSTGRES,REDIS,KAFKA,KAFKA_CONTROLLER,REGISTRY,
  REGISTRY_ADMIN,ENGINE}_PORT, CPQ_HTTP_ADDR, CPQ_STREAMS_ADMIN_ADDR, CPQ_BRIDGE_ADMIN_ADDR, CPQ_SIMULATORS_ADDR,
  CPQ_STACK_{KAFKA,ENGINE,REGISTRY}_HEAP
END
}

prepare() { # folders, and the lock that lets one of these commands at a time work on a stack
  mkdir -p "$RUN" "$LOGS" "$DATA"; chmod 755 "$STACK" "$DATA"
  exec 9>"$STACK/.lock"
  flock -n 9 || { say "another command works on $STACK; waiting for it"; flock 9; }
}

up_parts() { install_parts; start_parts; write_environment; }
up_services() { write_environment; build; provision; start_services; }

up_local() {
  local began; began=$(milliseconds)
  up_parts; up_services
  say "all is up in $(since "$began"): gateway http://$GATEWAY_ADDR; variables: . ${STACK#"$REPOSITORY"/}/env"
}

down_local() { end_services; end_parts; }

wipe_data() { # the downloads stay, since another stack may use them
  local postgres; postgres=$(postgres_folder)
  rm -rf "$DATA" "$RUN" "$LOGS" "$STACK/artifacts" "$STACK/oidc" "$STACK/env"
  case $postgres in /var/lib/cpq-stack/*) rm -rf "$postgres" ;; esac
  say "removed the data of $STACK"
}

status() {
  local name gone=0
  for name in "${PARTS[@]}" "${SERVICES[@]}"; do
    if running "$name"; then printf '%-16s runs, pid %s\n' "$name" "$(pid_of "$name")"
    elif [ -s "$RUN/$name.pid" ]; then printf '%-16s is gone (was pid %s); its log: %s\n' "$name" "$(pid_of "$name")" "$LOGS/$name.log"; gone=1
    else printf '%-16s not started\n' "$name"; fi
  done
  return "$gone"
}

known() { [[ " ${PARTS[*]} ${SERVICES[*]} " == *" $1 "* ]] || fail "no process is called '$1'; there are: ${PARTS[*]} engine ${SERVICES[*]}"; }
is_service() { [[ " ${SERVICES[*]} " == *" $1 "* ]]; }
start_one() {
  # shellcheck disable=SC2034 # read by launch_*
  JAVA=$(find_java)
  if is_service "$1"; then running "$1" || launch_service "$1"; ready_service "$1"; else launch_missing "$1"; "ready_$1"; fi
}
stop_one() { if is_service "$1"; then end "$1" TERM 45; else "end_$1"; fi; }
kill_one() { end "$1" KILL 10; }

run_program() { # NAME ARGUMENT...: from the build that the services are of
  local name=${1:?a name is missing}; shift
  [ -s "$STACK/env" ] || fail "the stack was not started: make up"
  [ -x "$TARGET/$PROFILE/$name" ] || fail "$TARGET/$PROFILE/$name does not exist; build it first (make up builds)"
  # shellcheck source=/dev/null
  . "$STACK/env"
  exec "$TARGET/$PROFILE/$name" "$@"
}

each() { # FUNCTION NAME...
  local function=$1 name; shift
  [ "$#" -gt 0 ] || fail "a name is missing"
  for name in "$@"; do [ "$name" != engine ] || name=$ENGINE; known "$name"; "$function" "$name"; done
}

command=${1:-help}; [ "$#" = 0 ] || shift
case $command in
  help | -h | --help) usage ;;
  install) prepare; install_parts ;;
  up) prepare; if use_compose; then up_compose; else up_local; fi ;;
  parts) prepare; up_parts ;;
  services) prepare; up_services ;;
  down) prepare; if started_by_compose; then down_compose; else down_local; fi ;;
  wipe)
    prepare
    if started_by_compose; then wipe_compose; else down_local; fi
    wipe_data
    [ "${1:-}" != --installed ] || { rm -rf "$CACHE"; say "removed $CACHE"; } ;;
  status) status ;;
  run) run_program "$@" ;;
  start) prepare; each start_one "$@" ;;
  stop) prepare; each stop_one "$@" ;;
  kill) prepare; each kill_one "$@" ;;
  restart) prepare; each stop_one "$@"; each start_one "$@" ;;
  *) usage >&2; exit 2 ;;
esac
