-- What the runtime stands on: commands with their idempotency, outcomes, the outbox, consumer positions,
-- parked keys, relay leases. Read with ARCHITECTURE, "The way of one command".

-- An accepted command, which is also its idempotency record: the unique key below is looked up before
-- anything is judged. Kept as long as the command topic.
create table cpq.command (
  tenant_id       text not null,
  command_id      text not null,
  -- The OpenAPI operation id, or the command's name where one of our processes sent it.
  operation       text not null,
  actor_id        text not null,
  idempotency_key text not null,
  -- SHA-256 of method, path and canonical JSON body.
  fingerprint     bytea not null,
  aggregate_type  text not null,
  aggregate_id    text not null,
  correlation_id  text not null,
  causation_id    text,
  received_at     timestamptz not null,
  primary key (tenant_id, command_id),
  constraint command_idempotency unique (tenant_id, actor_id, operation, idempotency_key)
);
create index command_aggregate on cpq.command (tenant_id, aggregate_id);
create index command_correlation on cpq.command (tenant_id, correlation_id);
call cpq.isolate('cpq.command');

-- What became of a command; written once, in the transaction of its effects. The response to a retry is
-- rendered from it and from the transitions up to `aggregate_sequence`.
create table cpq.command_outcome (
  tenant_id          text not null,
  command_id         text not null,
  status             text not null check (status in ('APPLIED', 'REJECTED')),
  aggregate_type     text not null,
  aggregate_id       text not null,
  aggregate_revision integer,
  aggregate_sequence bigint,
  -- {created, subject} of what was applied.
  applied            jsonb,
  -- {code, detail, errors, retryable} of what was refused.
  rejection          jsonb,
  decided_at         timestamptz not null,
  primary key (tenant_id, command_id),
  check ((status = 'REJECTED') = (rejection is not null))
);
call cpq.isolate('cpq.command_outcome');

-- A command that is right but waits for work elsewhere; the outcome of the command that settles `subject`
-- becomes its own.
create table cpq.deferred_command (
  tenant_id    text not null,
  aggregate_id text not null,
  subject      text not null,
  command_id   text not null,
  deferred_at  timestamptz not null,
  primary key (tenant_id, aggregate_id, subject, command_id)
);
call cpq.isolate('cpq.deferred_command');

-- What is committed and not yet known to be on its topic. A row here is pending; the relay deletes it once
-- the broker has acknowledged it. `value` is the finished Confluent wire format, so that a repeat is
-- identical to the last byte. Within one aggregate `id` grows with `aggregate_sequence`, because an aggregate
-- has one writer at a time and each transaction inserts its rows in order.
create table cpq.outbox_event (
  id                 bigint generated always as identity (cache 1) primary key,
  tenant_id          text not null,
  shard              smallint not null check (shard between 0 and 63),
  topic              text not null,
  message_key        text not null,
  -- The event's or command's id; `ce_id`.
  message_id         text not null,
  aggregate_type     text not null,
  aggregate_sequence bigint,
  headers            jsonb not null,
  value              bytea not null,
  created_at         timestamptz not null default clock_timestamp()
) with (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
call cpq.isolate('cpq.outbox_event');

-- Who may relay a shard. `epoch` fences: a mark by a former owner changes no row.
create table cpq.relay_lease (
  shard      smallint primary key check (shard between 0 and 63),
  owner      text,
  epoch      bigint not null default 0,
  expires_at timestamptz not null default '-infinity'
);
insert into cpq.relay_lease (shard) select generate_series(0, 63);

-- Where a consumer stands in a partition: the next offset to process, committed with the effects of the one
-- before. `epoch` rises with each assignment; a stale owner's transaction finds no row.
create table cpq.consumer_position (
  consumer    text not null,
  topic       text not null,
  partition   integer not null,
  next_offset bigint not null,
  epoch       bigint not null,
  owner       text not null,
  updated_at  timestamptz not null default now(),
  primary key (consumer, topic, partition)
);

-- A key that a consumer cannot go on with, and everything that came behind it, in order.
create table cpq.parked_key (
  consumer    text not null,
  topic       text not null,
  message_key text not null,
  tenant_id   text,
  cause       text not null,
  parked_at   timestamptz not null default now(),
  primary key (consumer, topic, message_key)
);
create table cpq.parked_record (
  consumer    text not null,
  topic       text not null,
  partition   integer not null,
  record_offset bigint not null,
  message_key text not null,
  tenant_id   text,
  value       bytea,
  headers     jsonb not null,
  cause       text not null,
  parked_at   timestamptz not null default now(),
  primary key (consumer, topic, partition, record_offset)
);
create index parked_record_key on cpq.parked_record (consumer, topic, message_key, record_offset);

-- Last sequence that a consumer applied of an aggregate, where its own tables do not say so themselves.
create table cpq.consumer_sequence (
  consumer           text not null,
  tenant_id          text not null,
  aggregate_id       text not null,
  aggregate_sequence bigint not null,
  primary key (consumer, tenant_id, aggregate_id)
) with (fillfactor = 80);
call cpq.isolate('cpq.consumer_sequence');
