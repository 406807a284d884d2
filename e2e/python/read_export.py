"""Reads a folder of `cpq replay export` with Apache Arrow's own reader, and compares it record by record with the topic.

An outsider: it knows the brokers, the registry and docs/export.md, nothing of the product's code.
One line sums up what was compared; a difference is told on standard error and ends it with 1.
"""

import argparse
import json
import os
import re
import sys
import time
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

# Records taken from the client at once.
BATCH = 500
# No record for so long, although the manifest has more: it is not coming.
PATIENCE_SECONDS = 60
# Longest wait for an answer of the registry.
REGISTRY_SECONDS = 20
# Differences that are told; the first ones are enough to know.
MAX_TOLD = 20
# Columns that do not come from the record itself.
STANDING = {"topic", "partition", "offset", "timestamp", "key", "headers", "schema_id", "record_type", "undecodable", "raw_value"}


def snake(camel):
    return re.sub(r"(?<!^)([A-Z])", r"_\1", camel).lower()


def spread(record, kind, prefix=""):
    """The columns of a record: nested records by their path, whatever else by its name."""
    columns = {}
    for field, value in record.items():
        own = snake(field)
        name = own if not prefix or own.startswith(prefix + "_") else f"{prefix}_{own}"
        if isinstance(value, dict) and not (field == "payload" and kind != "state"):
            columns |= spread(value, kind, name)
        else:
            columns[name] = value
    return columns


def same(shown, value):
    """Whether a column, or what is inside a JSON one, says what the topic says."""
    if isinstance(value, Decimal):
        return Decimal(shown) == value
    if isinstance(value, datetime):
        shown = datetime.fromisoformat(shown) if isinstance(shown, str) else shown
        return shown == value
    if isinstance(value, dict):
        return isinstance(shown, dict) and shown.keys() == value.keys() and all(same(shown[k], v) for k, v in value.items())
    if isinstance(value, list):
        return isinstance(shown, list) and len(shown) == len(value) and all(map(same, shown, value))
    return shown == value


def messages(consumer, topic, ends):
    """Every record of the topic before these offsets."""
    wanted = {partition for partition, end in ends.items() if end > 0}
    for partition in sorted(wanted):
        low, _ = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=PATIENCE_SECONDS)
        if low > 0:
            sys.exit(f"{topic}[{partition}] begins at offset {low}")
    consumer.assign([TopicPartition(topic, partition, 0) for partition in wanted])
    heard = time.monotonic()
    while wanted:
        for message in consumer.consume(BATCH, timeout=1.0):
            if message.error():
                sys.exit(f"reading {topic}: {message.error().str()}")
            heard = time.monotonic()
            if message.offset() + 1 >= ends[message.partition()]:
                wanted.discard(message.partition())
            if message.offset() < ends[message.partition()]:
                yield message
        if time.monotonic() - heard > PATIENCE_SECONDS:
            sys.exit(f"nothing came for {PATIENCE_SECONDS} s, but there is more on {sorted(wanted)}")


def moment(text):
    return None if text is None else datetime.fromisoformat(text)


def chosen(message, manifest):
    """Whether the manifest says that this record is in the export."""
    at = datetime.fromtimestamp(message.timestamp()[1] / 1000, timezone.utc)
    start, end, key = moment(manifest["from"]), moment(manifest["to"]), manifest["key"]
    return (start is None or at >= start) and (end is None or at < end) and (key is None or message.key() == key.encode())


def rows_of(folder, manifest):
    """Every exported row by partition and offset; a record that stands there twice is a fault."""
    rows, faults = {}, []
    for entry in manifest["files"]:
        table = parquet.read_table(folder / entry["name"])
        if table.num_rows != entry["records"]:
            faults.append(f"{entry['name']} has {table.num_rows} rows, the manifest says {entry['records']}")
        for field in table.schema:
            if field.name.endswith("_amount") and field.type != pa.decimal128(19, 6):
                faults.append(f"{field.name} is {field.type}")
            if field.name.endswith("_at") and field.type != pa.timestamp("us", "UTC"):
                faults.append(f"{field.name} is {field.type}")
        for row in table.to_pylist():
            place = row["partition"], row["offset"]
            if place in rows:
                faults.append(f"{place} was exported twice")
            rows[place] = row
    unlisted = {path.name for path in folder.iterdir()} - {entry["name"] for entry in manifest["files"]} - {"manifest.json"}
    return rows, faults + [f"{name} is not in the manifest" for name in sorted(unlisted)]


def differences(row, message, value, kind):
    """What a row says otherwise than its record."""
    headers = [(name, None if content is None else content.decode()) for name, content in message.headers() or []]
    standing = {
        "topic": message.topic(),
        "timestamp": datetime.fromtimestamp(message.timestamp()[1] / 1000, timezone.utc),
        "key": None if message.key() is None else message.key().decode(errors="replace"),
        "headers": headers,
    }
    for name, expected in standing.items():
        if row[name] != expected:
            yield f"{name} is {row[name]!r}, on the topic {expected!r}"
    if message.value() is None:
        return
    if value is None:
        if row["raw_value"] != message.value() or not row["undecodable"]:
            yield "the bytes of a record that cannot be decoded are not there"
        return
    if row["undecodable"] is not None:
        yield f"could not be decoded: {row['undecodable']}"
        return
    # A topic that is none of the product's list has no columns of its own.
    columns = spread(value, kind) if "tenant_id" in row else {"payload": value}
    for name, expected in columns.items():
        shown = row.get(name)
        # Arrays, maps and payloads are JSON.
        if shown is not None and isinstance(expected, (dict, list)):
            shown = json.loads(shown)
        if not same(shown, expected):
            yield f"{name} is {shown!r}, on the topic {expected!r}"
    for name in row.keys() - columns.keys() - STANDING:
        if row[name] is not None:
            yield f"{name} is {row[name]!r}, which is not on the topic"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    manifest = json.loads((folder / "manifest.json").read_text())
    topic = manifest["topic"]
    kind = "state" if ".state." in topic else "other"
    deserialize = AvroDeserializer(SchemaRegistryClient({"url": os.environ["CPQ_SCHEMA_REGISTRY_URL"], "timeout": REGISTRY_SECONDS}))
    consumer = Consumer({
        "bootstrap.servers": os.environ["CPQ_KAFKA_BROKERS"],
        # Assigned, not subscribed: the group is never joined, and nothing is committed to it.
        "group.id": "cpq-outsider",
        "enable.auto.commit": False,
    })
    rows, faults = rows_of(folder, manifest)
    ends = {int(partition): offset for partition, offset in manifest["nextOffsets"].items()}
    read, undecodable = 0, 0
    for message in messages(consumer, topic, ends):
        if not chosen(message, manifest):
            continue
        read += 1
        place = f"{topic}[{message.partition()}]@{message.offset()}"
        row = rows.pop((message.partition(), message.offset()), None)
        if row is None:
            faults.append(f"{place} was not exported")
            continue
        try:
            value = deserialize(message.value(), SerializationContext(topic, MessageField.VALUE))
        except Exception:  # whatever the deserializer cannot make sense of
            value, undecodable = None, undecodable + 1
        faults += [f"{place}: {difference}" for difference in differences(row, message, value, kind)]
    consumer.close()
    faults += [f"{topic}[{partition}]@{offset} was exported, but is not chosen" for partition, offset in rows]
    for fault in faults[:MAX_TOLD]:
        print(fault, file=sys.stderr)
    files = len(manifest["files"])
    print(f"{topic}: {read} records in {files} files, {undecodable} undecodable; {len(faults)} differences")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
