# shellcheck shell=bash
# Owns the product's own processes: building, provisioning, starting, and asking each whether it is ready.

TARGET=$(absolute "${CARGO_TARGET_DIR:-target}")
BUILD_PROGRESS_SECONDS=30
# What is built; the tests ask for their own targets in the same build, so that nothing is built twice.
read -ra BUILD_TARGETS <<<"${CPQ_STACK_BUILD_TARGETS:---workspace --bins}"

build() { # in the foreground, its output in a log, a line now and then: a cold release build takes minutes
  local began process last compiled flags=("${BUILD_TARGETS[@]}")
  began=$(milliseconds); last=$began
  [ "$PROFILE" = debug ] || flags+=(--release)
  say "building the services ($PROFILE) ..."
  (cd "$REPOSITORY" && exec cargo build "${flags[@]}") >"$LOGS/build.log" 2>&1 9>&- &
  process=$!
  while kill -0 "$process" 2>/dev/null; do
    sleep 0.2
    if [ $(($(milliseconds) - last)) -gt $((BUILD_PROGRESS_SECONDS * 1000)) ]; then
      last=$(milliseconds); compiled=$(grep -c Compiling "$LOGS/build.log" || true)
      say "building ... $compiled crates so far, $(since "$began")"
    fi
  done
  wait "$process" || { tail -n 40 "$LOGS/build.log" >&2; fail "the build failed (log: $LOGS/build.log)"; }
  say "built the services in $(since "$began")"
}

provision() {
  local variables; mapfile -t variables < <(service_environment)
  env "${variables[@]}" "CPQ_COMMAND=$TARGET/$PROFILE/cpq" "$DEPLOY/provision.sh"
}

address_of() {
  case $1 in
    simulators) echo "$SIMULATORS_ADDR" ;;
    command-gateway) echo "$GATEWAY_ADDR" ;;
    streams) echo "$STREAMS_ADDR" ;;
    camunda-bridge) echo "$BRIDGE_ADDR" ;;
  esac
}
readiness_of() { case $1 in simulators) echo healthz ;; *) echo readyz ;; esac; }
address_variable_of() {
  case $1 in
    simulators) echo CPQ_SIMULATORS_ADDR ;;
    command-gateway) echo CPQ_HTTP_ADDR ;;
    streams) echo CPQ_STREAMS_ADMIN_ADDR ;;
    camunda-bridge) echo CPQ_BRIDGE_ADMIN_ADDR ;;
  esac
}

launch_service() { # NAME
  local variables binary=$TARGET/$PROFILE/$1
  [ -x "$binary" ] || fail "$1 cannot start: $binary does not exist; build it first (make up builds)"
  require_free "$1" "$(address_of "$1")" "$(address_variable_of "$1")"
  mapfile -t variables < <(service_environment | grep -v '^CPQ_OWNER_')
  spawn "$1" env "${variables[@]}" "RUST_LOG=${RUST_LOG:-info}" "$binary"
  service_environment_digest >"$RUN/$1.environment"
}

ready_service() { await "$1" 90 "http://$(address_of "$1")" http_ok "http://$(address_of "$1")/$(readiness_of "$1")"; }

outdated() { # NAME: was it built anew since its start (its file was replaced), or is its environment another?
  local executable; executable=$(readlink "/proc/$(pid_of "$1")/exe" 2>/dev/null) || return 1
  case $executable in
    "$(realpath "$TARGET/$PROFILE/$1")") [ "$(cat "$RUN/$1.environment" 2>/dev/null)" != "$(service_environment_digest)" ] ;;
    *) return 0 ;;
  esac
}

start_services() {
  local service
  for service in "${SERVICES[@]}"; do
    if running "$service" && outdated "$service"; then say "$service is of an older build or environment: starting it anew"; end "$service" TERM 45; fi
    running "$service" || launch_service "$service"
  done
  for service in "${SERVICES[@]}"; do ready_service "$service"; done
}

# The gateway first, so that nothing new comes in while the rest drains.
end_services() { local service; for service in command-gateway camunda-bridge streams simulators; do end "$service" TERM 45; done; }
