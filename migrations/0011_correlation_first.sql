-- Found by correlation, the tenant second: with the tenant first, the planner takes these for a way to rows of which it
-- knows the tenant and the aggregate, as long as it has no statistics, and reads all rows of the tenant for each.
drop index cpq.audit_correlation, cpq.transition_log_correlation, cpq.command_correlation;
create index audit_correlation on cpq.audit (correlation_id, tenant_id);
create index transition_log_correlation on cpq.transition_log (correlation_id, tenant_id);
create index command_correlation on cpq.command (correlation_id, tenant_id);
