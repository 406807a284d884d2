-- Reference data: tenants, customers, approvers, published catalogs, approval policies, registered schemas,
-- and the two number sequences. Written by `cpq import` and `cpq schemas register`, read by every decision.
--
-- Isolation: every business table has the tenant first in its key and row level security with one policy.
-- A transaction names its tenants with `set_config('cpq.tenants', '{tenant-a,tenant-b}', true)`; unset means
-- no rows. The application logs in as `cpq_app`, which owns nothing and cannot bypass. Work that spans
-- tenants by nature (the relay, operators' commands) does `set role cpq_system`, which has its own policy.

create schema if not exists cpq;
grant usage on schema cpq to cpq_app, cpq_system;
alter default privileges in schema cpq grant select, insert, update, delete on tables to cpq_app, cpq_system;
alter default privileges in schema cpq grant usage on sequences to cpq_app, cpq_system;

-- The tenants of this transaction; null (no row matches) where none are set.
create function cpq.tenants() returns text[] language sql stable parallel safe
  return nullif(current_setting('cpq.tenants', true), '')::text[];

-- Switches on isolation for a table that has a tenant_id column.
create procedure cpq.isolate(target regclass) language plpgsql as $$
begin
  execute format('alter table %s enable row level security', target);
  execute format('alter table %s force row level security', target);
  execute format('create policy tenant on %s to cpq_app using (tenant_id = any (cpq.tenants())) with check (tenant_id = any (cpq.tenants()))', target);
  execute format('create policy system on %s to cpq_system using (true) with check (true)', target);
end $$;

create table cpq.tenant (
  tenant_id   text primary key,
  -- The contract's tenant.json.
  document    jsonb not null,
  -- Raised by every import that changed anything of this tenant; caches compare it.
  version     bigint not null default 1,
  -- The newest published catalog.
  catalog_version text,
  -- The tenant's own approval policy (DMN 1.3); null: the built-in one.
  approval_policy text,
  updated_at  timestamptz not null default now()
);
call cpq.isolate('cpq.tenant');

create table cpq.customer (
  tenant_id           text not null references cpq.tenant,
  customer_account_id text not null,
  name                text not null,
  segment             text not null,
  jurisdiction        text not null,
  sales_owner_id      text not null,
  updated_at          timestamptz not null default now(),
  primary key (tenant_id, customer_account_id)
);
call cpq.isolate('cpq.customer');

-- One row per authority; an actor may hold several (one per currency, say).
create table cpq.approver (
  tenant_id            text not null references cpq.tenant,
  actor_id             text not null,
  entry                integer not null,
  roles                text[] not null,
  max_discount_percent numeric(19, 6) not null,
  max_total_amount     numeric(19, 6) not null,
  currency             text not null,
  valid_from           timestamptz not null,
  valid_to             timestamptz,
  primary key (tenant_id, actor_id, entry)
);
call cpq.isolate('cpq.approver');

-- Immutable: a version is published once.
create table cpq.catalog_version (
  tenant_id       text not null references cpq.tenant,
  catalog_version text not null,
  -- The contract's catalog.json.
  document        jsonb not null,
  content_hash    text not null,
  published_by    text not null,
  published_at    timestamptz not null default now(),
  primary key (tenant_id, catalog_version)
);
call cpq.isolate('cpq.catalog_version');

-- What `cpq schemas register` got from the schema registry. Producers take their ids from here, so that a
-- transaction never waits for the registry. Not a tenant's: no isolation.
create table cpq.registered_schema (
  subject       text not null,
  record_name   text not null,
  fingerprint   text not null,
  schema_id     integer not null,
  schema        text not null,
  registered_at timestamptz not null default now(),
  primary key (subject, fingerprint)
);
create index registered_schema_id on cpq.registered_schema (schema_id);

-- Numbers of quote and order ids, over all tenants. Gaps are normal.
create sequence cpq.quote_number cache 32;
create sequence cpq.order_number cache 32;
