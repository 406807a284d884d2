-- What the bridge needs to go on after any crash: when it looks at a process next, that a fulfilment is being
-- undone, and which facts it has published of each process.

alter table cpq.workflow_instance
  -- When the row is looked at next: for a start that is due, or whether the engine's instance has ended.
  add column not_before timestamptz not null default '-infinity',
  -- Set before anything is undone: from then on no step of this plan begins a call.
  add column stopping_at timestamptz;
create index workflow_instance_due on cpq.workflow_instance (not_before) where status <> 'ENDED';
create index workflow_instance_engine on cpq.workflow_instance (admitted_instance_id) where admitted_instance_id is not null;

-- The facts published of a process, each once: `fact` names it within its process
-- (`UserTaskCreated/FINANCE`), so that work done again after a crash tells nothing twice.
create table cpq.workflow_fact (
  tenant_id    text not null,
  business_key text not null,
  fact         text not null,
  sequence     bigint not null,
  -- The event as published.
  event        jsonb not null,
  recorded_at  timestamptz not null default clock_timestamp(),
  primary key (tenant_id, business_key, fact)
);
create index workflow_fact_incident on cpq.workflow_fact (fact) where fact like 'Incident%';
call cpq.isolate('cpq.workflow_fact');
