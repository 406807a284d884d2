#!/usr/bin/env bash
# A command-line tool of the installed Kafka: deploy/kafka-tool.sh ProducerPerformance --topic ... ; the bootstrap server is yours to give.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=stack/config.sh
. "$HERE/stack/config.sh"
# shellcheck source=stack/java.sh
. "$HERE/stack/java.sh"
[ "$#" -gt 0 ] || fail 'usage: deploy/kafka-tool.sh TOOL ARGUMENT...   (TopicCommand, ConsoleConsumer, ConsumerGroupCommand, GetOffsetShell, ProducerPerformance, ...)'
tool=$1; shift
case $tool in
  ConsoleConsumer) class=org.apache.kafka.tools.consumer.$tool ;;
  ConsumerGroupCommand | ShareGroupCommand) class=org.apache.kafka.tools.consumer.group.$tool ;;
  ConfigCommand) class=kafka.admin.$tool ;;
  *) class=org.apache.kafka.tools.$tool ;;
esac
exec "$(find_java)" -Xmx512m -XX:+UseSerialGC "-Dlog4j2.configurationFile=$HERE/stack/kafka-tool-log4j2.properties" -cp "$CACHE/kafka/lib/*" "$class" "$@"
