"""Reads every events and state topic from offset 0 with Confluent's own client, and checks what is promised of them.

An outsider: it knows the brokers, the registry and the published contract, nothing of the product's code.
One line sums up what was read; a fault is told on standard error and ends it with 1.
"""

import argparse
import hashlib
import os
import re
import sys
import time
from collections import Counter

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

# `<prefix>.<domain>.<kind>.v1`
TOPIC = r"\.(?P<domain>[a-z]+)\.(?P<kind>events|state)\.v1"
# One aggregate type, one events topic: the types by domain.
AGGREGATE_TYPES = {"quote": {"QUOTE"}, "order": {"ORDER"}, "workflow": {"APPROVAL", "FULFILMENT"}}
# The aggregate type of a domain's states, and the field that identifies one.
STATES = {"quote": ("QUOTE", "quoteId"), "order": ("ORDER", "orderId")}
# Records taken from the client at once.
BATCH = 500
# No record for so long, although the broker has more: it is not coming.
PATIENCE_SECONDS = 60
# Longest wait for an answer of the broker or the registry.
REQUEST_SECONDS = 20
# Faults that are told; the first ones are enough to know.
MAX_TOLD = 20


class Facts:
    """What has been read of every aggregate, and what is wrong with it."""

    def __init__(self):
        self.events = {}
        self.states = {}
        self.repeats = 0
        self.faults = []

    def fault(self, message, what):
        self.faults.append(f"{message.topic()}[{message.partition()}]@{message.offset()}: {what}")

    def event(self, message, domain, event):
        """`aggregateSequence` starts at 1, in order, without a gap; a repeat is identical."""
        kind, identity, sequence = event["aggregateType"], event["aggregateId"], event["aggregateSequence"]
        if kind not in AGGREGATE_TYPES[domain]:
            self.fault(message, f"an event of {kind} {identity} does not belong on this topic")
        expected = {
            "ce_id": event["eventId"],
            "ce_type": f"cpq.{domain}.{event['eventType']}.v{event['eventVersion']}",
        }
        self.envelope(message, identity, event["tenantId"], expected)
        seen = self.events.setdefault((kind, identity), [])
        content = (event["eventId"], hashlib.sha256(message.value()).digest())
        if sequence == len(seen) + 1:
            seen.append(content)
        elif not 1 <= sequence <= len(seen):
            self.fault(message, f"{kind} {identity} goes on with sequence {sequence} after {len(seen)}")
        elif seen[sequence - 1] == content:
            self.repeats += 1
        else:
            self.fault(message, f"{kind} {identity} sequence {sequence} was another event before")

    def state(self, message, domain, state):
        """One record type, keyed by the aggregate, of which the newest counts."""
        kind, field = STATES[domain]
        identity = state[field]
        self.envelope(message, identity, state["tenantId"], {})
        self.states[(kind, identity)] = state["aggregateSequence"]

    def envelope(self, message, identity, tenant, expected):
        """The key, and the headers that CloudEvents' Kafka binding prescribes."""
        if message.key() != identity.encode():
            self.fault(message, f"the key is {message.key()!r}, the aggregate {identity}")
        headers = {name: (value or b"").decode(errors="replace") for name, value in message.headers() or []}
        for name, value in ({"ce_specversion": "1.0", "ce_subject": identity, "tenant_id": tenant} | expected).items():
            if headers.get(name) != value:
                self.fault(message, f"the header {name} is {headers.get(name)!r}, the record says {value!r}")

    def whole(self, kind, identity, sequence):
        """The aggregate was read up to exactly this sequence, and its state is of that sequence."""
        read = len(self.events.get((kind, identity), []))
        if read != sequence:
            self.faults.append(f"{kind} {identity}: {read} of {sequence} events were read")
        state = self.states.get((kind, identity))
        if kind in {kind for kind, _ in STATES.values()} and state != sequence:
            self.faults.append(f"{kind} {identity}: the newest state is of sequence {state}, not {sequence}")


def find_partitions(consumer, prefix):
    """The topics that anyone may read as (domain, kind) by name, and where each of their partitions ends now."""
    topics, ends = {}, {}
    for name, topic in consumer.list_topics(timeout=REQUEST_SECONDS).topics.items():
        found = re.fullmatch(re.escape(prefix) + TOPIC, name)
        if not found:
            continue
        if found["domain"] not in (AGGREGATE_TYPES if found["kind"] == "events" else STATES):
            sys.exit(f"{name} is not a topic of the contract")
        topics[name] = found["domain"], found["kind"]
        for number in topic.partitions:
            low, high = consumer.get_watermark_offsets(TopicPartition(name, number), timeout=REQUEST_SECONDS)
            # Nothing is ever taken from an events topic; compaction may take from the beginning of a state topic.
            if low > 0 and found["kind"] == "events":
                sys.exit(f"{name}[{number}] begins at offset {low}: what was before it is lost")
            ends[(name, number)] = high
    if not ends:
        sys.exit(f"the broker has no events or state topics of {prefix}")
    return topics, ends


def records(consumer, ends):
    """Every record before these ends. What is written meanwhile is another run's."""
    open_ones = {place for place, end in ends.items() if end > 0}
    consumer.assign([TopicPartition(*place, OFFSET_BEGINNING) for place in open_ones])
    heard = time.monotonic()
    while open_ones:
        for message in consumer.consume(BATCH, timeout=1.0):
            place = (message.topic(), message.partition())
            if message.error() and message.error().code() != KafkaError._PARTITION_EOF:
                sys.exit(f"reading {place[0]}[{place[1]}]: {message.error().str()}")
            heard = time.monotonic()
            # Compaction may have taken the record before the end.
            if message.error() or message.offset() + 1 >= ends[place]:
                open_ones.discard(place)
            if not message.error() and message.offset() < ends[place]:
                yield message
        if time.monotonic() - heard > PATIENCE_SECONDS:
            sys.exit(f"nothing came for {PATIENCE_SECONDS} s, but there is more on {sorted(open_ones)}")


def aggregate(text):
    found = re.fullmatch(r"([A-Z]+)/([^=]+)=(\d+)", text)
    if not found:
        raise argparse.ArgumentTypeError(f"'{text}' is not TYPE/ID=SEQUENCE")
    return found[1], found[2], int(found[3])


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option, variable in [("--brokers", "CPQ_KAFKA_BROKERS"), ("--registry", "CPQ_SCHEMA_REGISTRY_URL")]:
        value = os.environ.get(variable)
        parser.add_argument(option, default=value, required=not value, help=f"default: {variable}")
    parser.add_argument("--prefix", default="cpq", help="what the topics' names begin with; default: cpq")
    parser.add_argument(
        "--whole", type=aggregate, action="append", default=[], metavar="TYPE/ID=SEQUENCE",
        help="an aggregate that must have been read up to this sequence; may be given again",
    )
    return parser.parse_args()


def main():
    given = arguments()
    deserialize = AvroDeserializer(SchemaRegistryClient({"url": given.registry, "timeout": REQUEST_SECONDS}))
    consumer = Consumer({
        "bootstrap.servers": given.brokers,
        # Assigned, not subscribed: the group is never joined, and nothing is committed to it.
        "group.id": "cpq-outsider",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
    })
    facts, read = Facts(), Counter()
    topics, ends = find_partitions(consumer, given.prefix)
    for message in records(consumer, ends):
        domain, kind = topics[message.topic()]
        read[kind] += 1
        if message.value() is None:
            facts.fault(message, "a tombstone")
            continue
        try:
            value = deserialize(message.value(), SerializationContext(message.topic(), MessageField.VALUE))
        except Exception as error:  # whatever the deserializer cannot make sense of
            facts.fault(message, f"cannot be decoded: {error}")
            continue
        take = facts.event if kind == "events" else facts.state
        take(message, domain, value)
    consumer.close()
    for wanted in given.whole:
        facts.whole(*wanted)
    for fault in facts.faults[:MAX_TOLD]:
        print(fault, file=sys.stderr)
    print(
        f"{len(topics)} topics: {read['events']} events of {len(facts.events)} aggregates, "
        f"{facts.repeats} identical repeats; {read['state']} states of {len(facts.states)}; "
        f"{len(given.whole)} read whole as wanted; {len(facts.faults)} faults"
    )
    return 1 if facts.faults else 0


if __name__ == "__main__":
    sys.exit(main())
