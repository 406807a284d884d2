-- Orders with their lines and steps, the ledger of engine instances, and every call to the outside.

create table cpq.orders (
  tenant_id           text not null,
  order_id            text not null,
  quote_id            text not null,
  quote_revision      integer not null,
  revision            integer not null,
  sequence            bigint not null,
  status              text not null,
  customer_account_id text not null,
  state               jsonb not null,
  created_at          timestamptz not null,
  updated_at          timestamptz not null,
  primary key (tenant_id, order_id),
  -- At most one order per accepted quote revision.
  unique (tenant_id, quote_id, quote_revision)
) with (fillfactor = 70);
create unique index order_id_unique on cpq.orders (order_id);
call cpq.isolate('cpq.orders');

-- The lines as ordered: an immutable snapshot of the accepted quote.
create table cpq.order_line (
  tenant_id                text not null,
  order_id                 text not null,
  line_number              text not null,
  position                 integer not null,
  parent_line_number       text,
  action                   text not null,
  product_offering_id      text not null,
  product_offering_version text not null,
  quantity                 numeric(19, 6) not null,
  snapshot                 jsonb not null,
  primary key (tenant_id, order_id, line_number),
  foreign key (tenant_id, order_id) references cpq.orders
);
call cpq.isolate('cpq.order_line');

-- The token that irreversible work and cancellation contend for: whoever inserts the row has won.
create table cpq.order_token (
  tenant_id  text not null,
  order_id   text not null,
  holder     text not null check (holder in ('STEP', 'CANCELLATION')),
  step_id    text,
  claimed_at timestamptz not null default now(),
  primary key (tenant_id, order_id),
  check ((holder = 'STEP') = (step_id is not null))
);
call cpq.isolate('cpq.order_token');

-- What needs a person: a step that was refused, failed for good, or cannot be settled.
create table cpq.fallout_case (
  tenant_id   text not null,
  fallout_id  text not null,
  order_id    text not null,
  line_number text not null,
  step_id     text not null,
  reason_code text not null,
  detail      text not null,
  status      text not null check (status in ('OPEN', 'RESOLVED')),
  raised_at   timestamptz not null,
  resolution  text,
  resolved_by text,
  resolved_at timestamptz,
  primary key (tenant_id, fallout_id)
);
create index fallout_case_order on cpq.fallout_case (tenant_id, order_id);
call cpq.isolate('cpq.fallout_case');

-- One row per process that was asked for. The first activity of each process claims it with its instance
-- id (`admitted_instance_id`); any other instance of the same business key ends before it does anything.
create table cpq.workflow_instance (
  tenant_id            text not null,
  process_key          text not null,
  business_key         text not null,
  -- APPROVAL or FULFILMENT, and the sequence of its newest workflow event.
  aggregate_type       text not null,
  sequence             bigint not null default 0,
  status               text not null check (status in ('REQUESTED', 'STARTED', 'ADMITTED', 'ENDED')),
  started_instance_id  text,
  admitted_instance_id text,
  -- What the process needs to know, as asked for: steps of an approval, lines of an order.
  request              jsonb not null,
  correlation_id       text not null,
  attempts             integer not null default 0,
  last_error           text,
  requested_at         timestamptz not null default now(),
  admitted_at          timestamptz,
  ended_at             timestamptz,
  end_reason           text,
  primary key (tenant_id, process_key, business_key)
);
create index workflow_instance_open on cpq.workflow_instance (status) where status in ('REQUESTED', 'STARTED');
call cpq.isolate('cpq.workflow_instance');

-- Work that the bridge owes the engine after a business decision (complete a user task, send a message);
-- the row goes when the engine has done it.
create table cpq.workflow_duty (
  tenant_id    text not null,
  business_key text not null,
  duty_id      text not null,
  kind         text not null,
  body         jsonb not null,
  attempts     integer not null default 0,
  last_error   text,
  not_before   timestamptz not null default now(),
  created_at   timestamptz not null default now(),
  primary key (tenant_id, business_key, duty_id)
);
create index workflow_duty_due on cpq.workflow_duty (not_before);
call cpq.isolate('cpq.workflow_duty');

-- Every call to an external system, written before it is made. `UNKNOWN` is an answer that never came:
-- ask by the idempotency key before anything else.
create table cpq.external_call_attempt (
  id                 uuid primary key,
  tenant_id          text not null,
  system_name        text not null,
  operation_name     text not null,
  business_key       text not null,
  idempotency_key    text not null,
  request_hash       text not null,
  request_payload    jsonb not null,
  response_payload   jsonb,
  outcome            text not null check (outcome in ('PENDING', 'SUCCEEDED', 'REJECTED', 'FAILED', 'UNKNOWN')),
  external_reference text,
  attempts           integer not null default 1,
  attempted_at       timestamptz not null,
  completed_at       timestamptz,
  correlation_id     text not null,
  unique (tenant_id, system_name, operation_name, idempotency_key)
);
create index external_call_attempt_business on cpq.external_call_attempt (tenant_id, business_key);
call cpq.isolate('cpq.external_call_attempt');

-- What is to be sent to people, and what was.
create table cpq.notification (
  tenant_id       text not null,
  notification_id text not null,
  kind            text not null,
  recipient       text not null,
  subject         text not null,
  body            text not null,
  aggregate_id    text not null,
  correlation_id  text not null,
  status          text not null check (status in ('PENDING', 'SENT', 'FAILED')),
  attempts        integer not null default 0,
  last_error      text,
  created_at      timestamptz not null,
  -- When it may be tried (again).
  due_at          timestamptz not null default now(),
  sent_at         timestamptz,
  primary key (tenant_id, notification_id)
);
create index notification_pending on cpq.notification (due_at) where status = 'PENDING';
call cpq.isolate('cpq.notification');
