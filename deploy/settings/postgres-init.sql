-- Roles and databases of the stack; run at every start, so each statement may be repeated.
-- Roles are cluster-wide and so belong to the stack; what they may do in the database is granted by the migrations.
-- The passwords are for a stack that listens on this machine only.
\set ON_ERROR_STOP on

-- CREATEDB lets tests make databases of their own beside `cpq`.
select 'create role cpq_owner login createdb password ''cpq_owner''' where not exists (select from pg_roles where rolname = 'cpq_owner') \gexec
-- NOINHERIT is what keeps row level security closed: policies for cpq_system reach cpq_app only after
-- `set local role cpq_system`, never by membership alone.
select 'create role cpq_app login noinherit nobypassrls password ''cpq_app''' where not exists (select from pg_roles where rolname = 'cpq_app') \gexec
select 'create role cpq_system nologin nobypassrls' where not exists (select from pg_roles where rolname = 'cpq_system') \gexec
alter role cpq_app noinherit nobypassrls;
grant cpq_system to cpq_app;

select format('create role %I login password %L', name, name) from unnest(array['camunda', 'operaton', 'registry']) name
 where not exists (select from pg_roles where rolname = name) \gexec

select format('create database %I owner %I', name, owner)
  from (values ('cpq', 'cpq_owner'), ('camunda', 'camunda'), ('operaton', 'operaton'), ('registry', 'registry')) wanted(name, owner)
 where not exists (select from pg_database where datname = name) \gexec

-- Nobody connects to a database that is not theirs.
select format('revoke connect on database %I from public', name) from unnest(array['cpq', 'camunda', 'operaton', 'registry']) name \gexec
grant connect on database cpq to cpq_app;
