-- Which relays live, whether or not they hold a shard: a newcomer must be seen by those that hold all shards,
-- or nobody would ever give it its fair share. Times are the database's.
create table cpq.relay_instance (
  owner      text primary key,
  expires_at timestamptz not null
);
