-- Read models, made from the event topics by the projection role and rebuildable from offset 0. A view
-- never decides. `projection_version` is the newest aggregate sequence that a row shows.

create table cpq.quote_workspace_view (
  tenant_id           text not null,
  quote_id            text not null,
  current_revision    integer not null,
  status              text not null,
  customer_account_id text not null,
  customer_name       text not null,
  sales_owner_id      text not null,
  external_reference  text,
  total_amount        numeric(19, 6),
  currency            text not null,
  approval_status     text,
  artifact_status     text,
  order_id            text,
  created_at          timestamptz not null,
  updated_at          timestamptz not null,
  projection_version  bigint not null,
  primary key (tenant_id, quote_id)
) with (fillfactor = 80);
create index quote_workspace_view_status on cpq.quote_workspace_view (tenant_id, status, quote_id);
create index quote_workspace_view_customer on cpq.quote_workspace_view (tenant_id, customer_account_id, quote_id);
call cpq.isolate('cpq.quote_workspace_view');

create table cpq.order_operations_view (
  tenant_id           text not null,
  order_id            text not null,
  quote_id            text not null,
  current_revision    integer not null,
  status              text not null,
  customer_account_id text not null,
  customer_name       text not null,
  sales_owner_id      text not null,
  total_amount        numeric(19, 6) not null,
  currency            text not null,
  steps_total         integer not null,
  steps_completed     integer not null,
  open_fallout        integer not null,
  -- Step ids that are done, and open fallout case ids: the row can be brought forward event by event.
  detail              jsonb not null,
  created_at          timestamptz not null,
  updated_at          timestamptz not null,
  projection_version  bigint not null,
  primary key (tenant_id, order_id)
) with (fillfactor = 80);
create index order_operations_view_status on cpq.order_operations_view (tenant_id, status, order_id);
call cpq.isolate('cpq.order_operations_view');

create table cpq.approval_worklist_view (
  tenant_id           text not null,
  task_id             text not null,
  type                text not null check (type in ('APPROVAL', 'FALLOUT')),
  status              text not null,
  quote_id            text,
  order_id            text,
  quote_revision      integer,
  customer_account_id text not null,
  candidate_role      text not null,
  escalated_role      text,
  approval_order      integer,
  assignee            text,
  requested_by        text,
  sla_hours           integer,
  created_at          timestamptz not null,
  due_at              timestamptz,
  escalated           boolean not null default false,
  updated_at          timestamptz not null,
  projection_version  bigint not null,
  primary key (tenant_id, task_id)
) with (fillfactor = 80);
create index approval_worklist_view_open on cpq.approval_worklist_view (tenant_id, status, task_id);
create index approval_worklist_view_quote on cpq.approval_worklist_view (tenant_id, quote_id);
create index approval_worklist_view_order on cpq.approval_worklist_view (tenant_id, order_id);
call cpq.isolate('cpq.approval_worklist_view');

create table cpq.customer_commercial_timeline_view (
  tenant_id           text not null,
  customer_account_id text not null,
  aggregate_type      text not null,
  aggregate_id        text not null,
  aggregate_sequence  bigint not null,
  event_type          text not null,
  summary             text not null,
  actor_id            text not null,
  occurred_at         timestamptz not null,
  projection_version  bigint not null,
  primary key (tenant_id, aggregate_id, aggregate_sequence)
);
create index customer_timeline on cpq.customer_commercial_timeline_view (tenant_id, customer_account_id, occurred_at, aggregate_id, aggregate_sequence);
call cpq.isolate('cpq.customer_commercial_timeline_view');

-- How far a view has come, for `asOf`: the time of the newest event it shows.
create table cpq.view_progress (
  consumer    text not null,
  topic       text not null,
  partition   integer not null,
  as_of       timestamptz not null,
  primary key (consumer, topic, partition)
);
