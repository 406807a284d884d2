-- What operators do with parked keys: redrive, discard, edit. The consumer that parked a key releases it itself, in
-- the transactions in which it applies the records, so that nothing is overtaken, lost or doubled.

alter table cpq.parked_key
  -- Names this parking of the key; a key that is parked again later has another.
  add column dead_letter_id text not null default gen_random_uuid()::text,
  -- PARKED: waits for a person. REDRIVING: its consumer applies its records, oldest first, until none is left or
  -- one fails.
  add column status text not null default 'PARKED' check (status in ('PARKED', 'REDRIVING')),
  -- When it was let go; the order in which a consumer takes such keys.
  add column redrive_at timestamptz;
create unique index parked_key_dead_letter on cpq.parked_key (dead_letter_id);
create index parked_key_redriving on cpq.parked_key (consumer, redrive_at) where status = 'REDRIVING';
create index parked_key_tenant on cpq.parked_key (tenant_id, parked_at, dead_letter_id);

alter table cpq.parked_record
  -- How often a redrive has failed at this record, and how often in a row with the cause that it has now.
  add column attempts integer not null default 0,
  add column same_cause integer not null default 0;

-- Who did what with a parked key, why, and what came of it; kept when the key is long released. The tenant may be
-- unknown, as it may be for parked keys, so that readers name it themselves.
create table cpq.dead_letter_action (
  action_id      text primary key,
  dead_letter_id text not null,
  consumer       text not null,
  topic          text not null,
  message_key    text not null,
  tenant_id      text,
  -- The record in question; null for keys whose work waits elsewhere (the relay's, the document role's).
  partition      integer,
  record_offset  bigint,
  action         text not null check (action in ('REDRIVE', 'DISCARD', 'EDIT')),
  actor_id       text not null,
  actor_type     text not null,
  reason         text not null,
  forced         boolean not null,
  -- Why the record was parked when this was done.
  cause          text not null,
  -- Records that waited behind it.
  behind         bigint not null,
  -- The record as it was before it was discarded or edited.
  value          bytea,
  headers        jsonb,
  -- What was answered: {summary, warnings, status}; a retry of the same request is answered the same.
  told           jsonb not null,
  requested_at   timestamptz not null,
  -- Records that were applied by this.
  applied        bigint not null default 0,
  -- Null as long as the consumer is at it.
  outcome        text check (outcome in ('RELEASED', 'PARKED_AGAIN', 'EDITED')),
  outcome_cause  text,
  finished_at    timestamptz
);
create index dead_letter_action_letter on cpq.dead_letter_action (dead_letter_id, requested_at);
create index dead_letter_action_key on cpq.dead_letter_action (consumer, topic, message_key);
