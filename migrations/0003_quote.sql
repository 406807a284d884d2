-- Quotes: the head, and the immutable evidence of each revision.

-- Business truth. `state` is the aggregate as the core knows it; the other columns are what is asked by.
create table cpq.quote (
  tenant_id           text not null,
  quote_id            text not null,
  revision            integer not null,
  sequence            bigint not null,
  status              text not null,
  customer_account_id text not null,
  state               jsonb not null,
  created_at          timestamptz not null,
  updated_at          timestamptz not null,
  primary key (tenant_id, quote_id)
) with (fillfactor = 70);
-- Ids are unique over all tenants.
create unique index quote_id_unique on cpq.quote (quote_id);
call cpq.isolate('cpq.quote');

-- One row per revision, written when the revision is made and never changed.
create table cpq.quote_revision (
  tenant_id           text not null,
  quote_id            text not null,
  revision            integer not null,
  aggregate_sequence  bigint not null,
  status              text not null,
  customer_account_id text not null,
  sales_owner_id      text not null,
  created_by          text not null,
  created_at          timestamptz not null,
  primary key (tenant_id, quote_id, revision)
);
call cpq.isolate('cpq.quote_revision');

-- The line tree of a configured revision.
create table cpq.quote_line (
  tenant_id                text not null,
  quote_id                 text not null,
  revision                 integer not null,
  line_number              text not null,
  position                 integer not null,
  parent_line_number       text,
  product_offering_id      text not null,
  product_offering_version text not null,
  quantity                 numeric(19, 6) not null check (quantity > 0),
  action                   text not null,
  configuration_snapshot   jsonb not null,
  primary key (tenant_id, quote_id, revision, line_number),
  foreign key (tenant_id, quote_id, revision) references cpq.quote_revision,
  foreign key (tenant_id, quote_id, revision, parent_line_number) references cpq.quote_line deferrable initially deferred
);
call cpq.isolate('cpq.quote_line');

-- The price of a priced revision, with every step of how it came about.
create table cpq.quote_price_result (
  tenant_id               text not null,
  quote_id                text not null,
  revision                integer not null,
  price_result_id         text not null,
  pricing_policy_version  text not null,
  currency                text not null,
  list_amount             numeric(19, 6) not null,
  discount_amount         numeric(19, 6) not null,
  one_time_amount         numeric(19, 6) not null,
  recurring_monthly_amount numeric(19, 6) not null,
  total_amount            numeric(19, 6) not null,
  tax_amount              numeric(19, 6) not null,
  -- {price, request, hashes} as decided.
  offer                   jsonb not null,
  -- Canonical JSON, kept as text: its SHA-256 is `trace_hash`.
  trace                   text not null,
  trace_hash              text not null,
  created_at              timestamptz not null,
  primary key (tenant_id, quote_id, revision),
  unique (tenant_id, price_result_id),
  foreign key (tenant_id, quote_id, revision) references cpq.quote_revision
);
call cpq.isolate('cpq.quote_price_result');

-- Each decided step, with the authority it rested on at that moment.
create table cpq.quote_approval_decision (
  tenant_id           text not null,
  quote_id            text not null,
  approval_request_id text not null,
  level               text not null,
  decision            text not null,
  approver_id         text not null,
  authority_snapshot  jsonb not null,
  price_hash          text not null,
  reason_code         text not null,
  comment             text,
  decided_at          timestamptz not null,
  primary key (tenant_id, approval_request_id, level)
);
call cpq.isolate('cpq.quote_approval_decision');

-- Metadata of a stored document.
create table cpq.quote_artifact (
  tenant_id        text not null,
  artifact_id      text not null,
  quote_id         text not null,
  quote_revision   integer not null,
  artifact_type    text not null,
  template_id      text not null,
  template_version text not null,
  storage_uri      text not null,
  content_hash     text not null,
  input_hash       text not null,
  size_bytes       bigint not null,
  generated_by     text not null,
  generated_at     timestamptz not null,
  primary key (tenant_id, artifact_id),
  unique (tenant_id, quote_id, quote_revision, artifact_type, template_id, template_version)
);
call cpq.isolate('cpq.quote_artifact');

-- Every transition of every quote and order, in order and without a gap: the event as the core knows it.
-- Folding the events of an aggregate up to a sequence gives its state there.
create table cpq.transition_log (
  tenant_id          text not null,
  aggregate_type     text not null,
  aggregate_id       text not null,
  aggregate_sequence bigint not null,
  aggregate_revision integer not null,
  event_id           text not null,
  event_type         text not null,
  from_status        text,
  to_status          text not null,
  actor_id           text not null,
  actor_type         text not null,
  correlation_id     text not null,
  -- The command that caused it.
  causation_id       text not null,
  payload            jsonb not null,
  occurred_at        timestamptz not null,
  primary key (tenant_id, aggregate_id, aggregate_sequence)
);
create index transition_log_correlation on cpq.transition_log (tenant_id, correlation_id);
call cpq.isolate('cpq.transition_log');

-- Who did, tried or was refused what. `entry_hash` covers the entry and the hash before it in its aggregate's
-- chain, so that an edited, cut or re-chained row shows.
create table cpq.audit (
  tenant_id      text not null,
  aggregate_id   text not null,
  entry          bigint not null,
  action         text not null,
  outcome        text not null,
  error_code     text,
  actor_id       text not null,
  actor_type     text not null,
  claims         jsonb not null,
  command_id     text not null,
  correlation_id text not null,
  detail         text,
  recorded_at    timestamptz not null,
  previous_hash  text not null,
  entry_hash     text not null,
  primary key (tenant_id, aggregate_id, entry)
);
create index audit_correlation on cpq.audit (tenant_id, correlation_id);
call cpq.isolate('cpq.audit');
