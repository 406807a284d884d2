# shellcheck shell=bash
# Owns how each part of the stack is started, asked whether it is ready, and ended. One launch_, ready_ and (where needed) end_ per part.

read_settings() { # FILE: its NAME=value lines into the array SETTINGS
  mapfile -t SETTINGS < <(grep -E '^[A-Z]' "$1")
}

# ---- PostgreSQL: refuses to run as root, so root starts it as the user postgres -------------------------------------------------

POSTGRES_BIN=/usr/lib/postgresql/$POSTGRES_VERSION/bin
SUPERUSER_PASSWORD=postgres

as_postgres() { if [ "$(id -u)" = 0 ]; then setpriv --reuid=postgres --regid=postgres --init-groups "$@"; else "$@"; fi; }

postgres_folder() { # inside the stack's folder, or, where the user postgres may not enter that (a clone under /root), in /var/lib
  if as_postgres test -x "$DATA"; then echo "$DATA/postgres"
  else echo "/var/lib/cpq-stack/$(printf '%s' "$STACK" | sha256sum | cut -c1-12)"; fi
}

sql() { PGPASSWORD=$SUPERUSER_PASSWORD PGCONNECT_TIMEOUT=5 "$POSTGRES_BIN/psql" -X -q -h 127.0.0.1 -p "$POSTGRES_PORT" -U postgres -d postgres "$@"; }

make_cluster() { # FOLDER
  local folder=$1 password
  say "making the PostgreSQL cluster in $folder ..."
  if [ "$(id -u)" = 0 ]; then install -d -o postgres -g postgres -m 700 "$folder"; else install -d -m 700 "$folder"; fi
  password=$(mktemp); printf '%s' "$SUPERUSER_PASSWORD" >"$password"; [ "$(id -u)" != 0 ] || chown postgres "$password"
  (cd / && as_postgres "$POSTGRES_BIN/initdb" -D "$folder" -U postgres -E UTF8 --locale=C.UTF-8 -A scram-sha-256 --pwfile="$password") >"$LOGS/initdb.log" 2>&1 ||
    { rm -f "$password"; rm -rf "$folder"; tail -n "$LOG_TAIL" "$LOGS/initdb.log" >&2; fail "initdb failed"; }
  rm -f "$password"
}

launch_postgres() {
  local folder; folder=$(postgres_folder)
  require_free postgres "127.0.0.1:$POSTGRES_PORT" CPQ_STACK_POSTGRES_PORT
  [ -s "$folder/PG_VERSION" ] || make_cluster "$folder"
  install -m 644 "$DEPLOY/settings/postgres.conf" "$folder/postgresql.conf"
  if [ "$(id -u)" = 0 ]; then set -- setpriv --reuid=postgres --regid=postgres --init-groups; else set --; fi
  spawn postgres "$@" "$POSTGRES_BIN/postgres" -D "$folder" -p "$POSTGRES_PORT" -c listen_addresses=127.0.0.1 -c unix_socket_directories=
}

ready_postgres() {
  await postgres 60 "127.0.0.1:$POSTGRES_PORT" sql -c 'select 1'
  sql -f "$DEPLOY/settings/postgres-init.sql" >"$LOGS/postgres-init.log" 2>&1 ||
    { cat "$LOGS/postgres-init.log" >&2; fail "making the roles and databases failed"; }
}

# ---- Redis ----------------------------------------------------------------------------------------------------------------------

launch_redis() {
  require_free redis "127.0.0.1:$REDIS_PORT" CPQ_STACK_REDIS_PORT
  mkdir -p "$DATA/redis"
  spawn redis redis-server "$DEPLOY/settings/redis.conf" --bind 127.0.0.1 --port "$REDIS_PORT" --dir "$DATA/redis" --daemonize no
}

redis_answers() { [ "$(redis-cli -h 127.0.0.1 -p "$REDIS_PORT" ping)" = PONG ]; }
ready_redis() { await redis 30 "127.0.0.1:$REDIS_PORT" redis_answers; }

# ---- Kafka ----------------------------------------------------------------------------------------------------------------------

KAFKA_OPTIONS=(-XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35 -Djava.awt.headless=true
  "-Dlog4j2.configurationFile=$DEPLOY/stack/kafka-log4j2.properties")

new_cluster_id() { head -c 16 /dev/urandom | base64 | tr '+/' '-_' | cut -c1-22; }

format_kafka() { # SETTINGS CLUSTER
  "$JAVA" -XX:TieredStopAtLevel=1 -XX:+UseSerialGC "-Dlog4j2.configurationFile=$DEPLOY/stack/kafka-log4j2.properties" \
    -cp "$(class_path "$CACHE/kafka/lib")" kafka.tools.StorageTool format -t "$2" -c "$1" >"$LOGS/kafka-format.log" 2>&1 ||
    { tail -n "$LOG_TAIL" "$LOGS/kafka-format.log" >&2; fail "formatting Kafka's folder failed"; }
}

launch_kafka() {
  local jars settings=$DATA/kafka.properties options
  require_free kafka "127.0.0.1:$KAFKA_PORT" CPQ_STACK_KAFKA_PORT
  require_free kafka "127.0.0.1:$KAFKA_CONTROLLER_PORT" CPQ_STACK_KAFKA_CONTROLLER_PORT
  mkdir -p "$DATA/kafka"
  cat "$DEPLOY/settings/kafka.properties" - >"$settings" <<END
listeners=PLAINTEXT://127.0.0.1:$KAFKA_PORT,CONTROLLER://127.0.0.1:$KAFKA_CONTROLLER_PORT
advertised.listeners=PLAINTEXT://127.0.0.1:$KAFKA_PORT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.quorum.voters=1@127.0.0.1:$KAFKA_CONTROLLER_PORT
log.dirs=$DATA/kafka
END
  jars=$(class_path "$CACHE/kafka/lib")
  [ -e "$DATA/kafka/meta.properties" ] || format_kafka "$settings" "$(new_cluster_id)"
  mapfile -t options < <(archive_options kafka "$jars")
  spawn kafka "$JAVA" "-Xms$KAFKA_HEAP" "-Xmx$KAFKA_HEAP" "${KAFKA_OPTIONS[@]}" "${options[@]}" -cp "$jars" kafka.Kafka "$settings"
}

# Asks over Kafka's own protocol for the cluster's metadata (version 1, no topics) and wants to be named all its brokers: an open
# port is not enough, since the broker listens before it may serve. Answer: length, correlation id 7, number of brokers, ...
kafka_answers() { # HOST PORT
  local answer
  exec 7<>"/dev/tcp/$1/$2" || return 1
  printf '\x00\x00\x00\x0f\x00\x03\x00\x01\x00\x00\x00\x07\x00\x01c\x00\x00\x00\x00' >&7
  answer=$(timeout 2 head -c 12 <&7 | od -An -tx1 | tr -d ' \n') || true
  exec 7>&-
  [ "${answer:8}" = "000000070000000$BROKERS" ]
}
ready_kafka() { await kafka 90 "127.0.0.1:$KAFKA_PORT" kafka_answers 127.0.0.1 "$KAFKA_PORT"; }
end_kafka() { end kafka TERM 60; keep_archive kafka; }

# ---- Schema registry ------------------------------------------------------------------------------------------------------------

launch_registry() {
  require_free registry "127.0.0.1:$REGISTRY_PORT" CPQ_STACK_REGISTRY_PORT
  require_free registry "127.0.0.1:$REGISTRY_ADMIN_PORT" CPQ_STACK_REGISTRY_ADMIN_PORT
  read_settings "$DEPLOY/settings/registry.env"
  spawn registry env "${SETTINGS[@]}" "APICURIO_DATASOURCE_URL=jdbc:postgresql://127.0.0.1:$POSTGRES_PORT/registry" \
    QUARKUS_HTTP_HOST=127.0.0.1 "QUARKUS_HTTP_PORT=$REGISTRY_PORT" QUARKUS_MANAGEMENT_HOST=127.0.0.1 "QUARKUS_MANAGEMENT_PORT=$REGISTRY_ADMIN_PORT" \
    "$JAVA" -Xms64m "-Xmx$REGISTRY_HEAP" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
    -Djava.util.logging.manager=org.jboss.logmanager.LogManager -jar "$CACHE/registry/quarkus-run.jar"
}

ready_registry() { await registry 180 "http://127.0.0.1:$REGISTRY_PORT/apis/ccompat/v7" http_ok "http://127.0.0.1:$REGISTRY_PORT/apis/ccompat/v7/subjects"; }

# ---- Workflow engine: Camunda 7 or Operaton, on the same port --------------------------------------------------------------------

launch_engine() {
  local classes options
  require_free "$ENGINE" "127.0.0.1:$ENGINE_PORT" CPQ_STACK_ENGINE_PORT
  read_settings "$DEPLOY/settings/$ENGINE.env"
  classes=$CACHE/$ENGINE/engine.jar:$(class_path "$CACHE/$ENGINE/lib")
  mapfile -t options < <(archive_options "$ENGINE" "$classes")
  spawn "$ENGINE" env "${SETTINGS[@]}" SERVER_ADDRESS=127.0.0.1 "SERVER_PORT=$ENGINE_PORT" \
    "SPRING_DATASOURCE_URL=jdbc:postgresql://127.0.0.1:$POSTGRES_PORT/$ENGINE?reWriteBatchedInserts=true" \
    "$JAVA" -Xms256m "-Xmx$ENGINE_HEAP" -XX:+UseSerialGC "${options[@]}" -cp "$classes" cpq.stack.Engine
}
launch_camunda() { launch_engine; }
launch_operaton() { launch_engine; }

engine_answers() { curl -fsS -m 5 "http://127.0.0.1:$ENGINE_PORT/engine-rest/engine" | grep -q '"default"'; }
ready_engine() { await "$ENGINE" 240 "http://127.0.0.1:$ENGINE_PORT/engine-rest" engine_answers; }
ready_camunda() { ready_engine; }
ready_operaton() { ready_engine; }
end_camunda() { end camunda TERM 60; keep_archive camunda; }
end_operaton() { end operaton TERM 60; keep_archive operaton; }

# PostgreSQL's INT is its fast shutdown: sessions are cut, the data is flushed.
end_postgres() { end postgres INT 60; }
end_redis() { end redis; }
end_registry() { end registry; }

# ---- All of them ----------------------------------------------------------------------------------------------------------------

launch_missing() { local part; for part in "$@"; do running "$part" || "launch_$part"; done; }
await_all() { local part; for part in "$@"; do "ready_$part"; done; }

start_parts() {
  JAVA=$(find_java); [ -n "$JAVA" ] || fail "no Java of $JAVA_MINIMUM or newer; run: deploy/stack.sh install"
  local other; [ "$ENGINE" = camunda ] && other=operaton || other=camunda
  if running "$other"; then
    say "changing the engine from $other to $ENGINE; what runs in $other stays there (make clean begins anew)"
    "end_$other"
  fi
  # The registry and the engine keep their data in PostgreSQL; the rest starts side by side.
  launch_missing postgres redis "${KAFKAS[@]}"
  ready_postgres
  launch_missing registry "$ENGINE"
  await_all redis "${KAFKAS[@]}" registry "$ENGINE"
}

end_parts() {
  local part
  for part in operaton camunda registry "${KAFKAS[@]}" redis postgres; do "end_$part"; done
  [ "$BROKERS" = 1 ] || remove_network
}
