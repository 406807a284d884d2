-- When each open quote ends by itself. A row is written in the transaction that gives the quote its end of
-- validity, and goes in the one that ends it otherwise; when it is due, it becomes the command ExpireQuote in one
-- transaction. So no end is forgotten, whoever is down when it comes.
create table cpq.quote_timer (
  tenant_id      text not null,
  quote_id       text not null,
  -- The quote's validUntil.
  due_at         timestamptz not null,
  -- The request that set it, which the expiry belongs to, and its command.
  correlation_id text not null,
  causation_id   text not null,
  primary key (tenant_id, quote_id)
);
create index quote_timer_due on cpq.quote_timer (due_at);

-- Quotes that were there before. They belong to all tenants, whom their owner may not see otherwise.
alter table cpq.quote no force row level security;
alter table cpq.transition_log no force row level security;
insert into cpq.quote_timer (tenant_id, quote_id, due_at, correlation_id, causation_id)
  select q.tenant_id, q.quote_id, (q.state ->> 'validUntil')::timestamptz, t.correlation_id, t.causation_id
  from cpq.quote q join cpq.transition_log t on t.tenant_id = q.tenant_id and t.aggregate_id = q.quote_id and t.aggregate_sequence = 1
  where q.state ->> 'validUntil' is not null and q.status not in ('ACCEPTED_PENDING_ORDER_CREATION', 'ACCEPTED');
alter table cpq.quote force row level security;
alter table cpq.transition_log force row level security;

call cpq.isolate('cpq.quote_timer');
