# shellcheck shell=bash
# Owns the other Kafka (CPQ_STACK_BROKERS=3): three brokers, each in a network namespace with an address of its own, joined by a
# bridge, as on three hosts. Every partition has three replicas, of which two must have a record. Needs root and iproute2.

# The bridge's name; with -1, -2, -3 those of the namespaces and of the cables to them. The offset tells stacks apart.
CLUSTER=cpq-$OFFSET
CLUSTER_HEAP=${CPQ_STACK_KAFKA_HEAP:-384m}
CLUSTER_BROKER_PORT=9092
CLUSTER_CONTROLLER_PORT=9093
# A broker says good-bye to the controllers; the last ones have no quorum left to say it to.
CLUSTER_END_SECONDS=10

make_network() {
  [ "$(id -u)" = 0 ] || fail "three brokers need network namespaces, and those need root"
  if ! ip link show "$CLUSTER" >/dev/null 2>&1; then
    ip link add "$CLUSTER" type bridge
    ip address add "$CLUSTER_NETWORK.254/24" dev "$CLUSTER"
    ip link set "$CLUSTER" up
  fi
  local n; for n in 1 2 3; do make_host "$n"; done
}

make_host() { # NUMBER
  local host=$CLUSTER-$1
  ! ip netns list | grep -qw -- "$host" || return 0
  ip netns add "$host"
  ip link add "$host" type veth peer name eth0 netns "$host"
  ip link set "$host" master "$CLUSTER" up
  ip -n "$host" address add "$CLUSTER_NETWORK.$1/24" dev eth0
  ip -n "$host" link set eth0 up
  ip -n "$host" link set lo up
}

remove_network() { # a namespace takes its cable with it
  local n
  for n in 1 2 3; do ip netns delete "$CLUSTER-$n" 2>/dev/null || true; done
  ip link delete "$CLUSTER" 2>/dev/null || true
}

launch_broker() { # NUMBER
  local name=kafka$1 voters jars settings=$DATA/kafka$1.properties archive options=()
  make_network
  mkdir -p "$DATA/$name"
  voters=$(for n in 1 2 3; do printf '%s@%s.%s:%s,' "$n" "$CLUSTER_NETWORK" "$n" "$CLUSTER_CONTROLLER_PORT"; done)
  # Of two lines for one name the later holds.
  cat "$DEPLOY/settings/kafka.properties" - >"$settings" <<END
node.id=$1
listeners=PLAINTEXT://$CLUSTER_NETWORK.$1:$CLUSTER_BROKER_PORT,CONTROLLER://$CLUSTER_NETWORK.$1:$CLUSTER_CONTROLLER_PORT
advertised.listeners=PLAINTEXT://$CLUSTER_NETWORK.$1:$CLUSTER_BROKER_PORT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.quorum.voters=${voters%,}
log.dirs=$DATA/$name
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
share.coordinator.state.topic.replication.factor=3
share.coordinator.state.topic.min.isr=2
END
  [ -s "$DATA/cluster-id" ] || new_cluster_id >"$DATA/cluster-id"
  [ -e "$DATA/$name/meta.properties" ] || format_kafka "$settings" "$(cat "$DATA/cluster-id")"
  jars=$(class_path "$CACHE/kafka/lib"); archive=$(archive_of kafka "$jars")
  [ ! -s "$archive" ] || options=("-XX:SharedArchiveFile=$archive" -Xlog:cds=off -Xlog:cds+dynamic=off)
  spawn "$name" ip netns exec "$CLUSTER-$1" "$JAVA" "-Xms$CLUSTER_HEAP" "-Xmx$CLUSTER_HEAP" "${KAFKA_OPTIONS[@]}" "${options[@]}" \
    -cp "$jars" kafka.Kafka "$settings"
}

ready_broker() { # NUMBER
  await "kafka$1" 120 "$CLUSTER_NETWORK.$1:$CLUSTER_BROKER_PORT" kafka_answers "$CLUSTER_NETWORK.$1" "$CLUSTER_BROKER_PORT"
}

launch_kafka1() { launch_broker 1; }
launch_kafka2() { launch_broker 2; }
launch_kafka3() { launch_broker 3; }
ready_kafka1() { ready_broker 1; }
ready_kafka2() { ready_broker 2; }
ready_kafka3() { ready_broker 3; }
end_kafka1() { end kafka1 TERM "$CLUSTER_END_SECONDS"; }
end_kafka2() { end kafka2 TERM "$CLUSTER_END_SECONDS"; }
end_kafka3() { end kafka3 TERM "$CLUSTER_END_SECONDS"; }
