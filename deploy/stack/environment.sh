# shellcheck shell=bash
# Owns the environment that services and people get from the stack: STACK/env, lines of `export NAME=value`.
# docker-compose.yml gives the same names inside its containers; deploy/check.sh compares the two.

service_environment() {
  grep -E '^CPQ_' "$DEPLOY/settings/services.env"
  cat <<END
CPQ_HTTP_ADDR=$GATEWAY_ADDR
CPQ_DATABASE_URL=postgres://cpq_app:cpq_app@127.0.0.1:$POSTGRES_PORT/cpq
CPQ_OWNER_DATABASE_URL=postgres://cpq_owner:cpq_owner@127.0.0.1:$POSTGRES_PORT/cpq
CPQ_KAFKA_BROKERS=$KAFKA_ADDRESSES
CPQ_SCHEMA_REGISTRY_URL=http://127.0.0.1:$REGISTRY_PORT/apis/ccompat/v7
CPQ_REDIS_URL=redis://127.0.0.1:$REDIS_PORT
CPQ_CAMUNDA_URL=http://127.0.0.1:$ENGINE_PORT/engine-rest
CPQ_OIDC_JWKS=$STACK/oidc/jwks.json
CPQ_OIDC_DEV_KEY=$STACK/oidc/dev-key.pem
CPQ_ARTIFACT_URL=file://$STACK/artifacts
CPQ_INVENTORY_URL=http://$SIMULATORS_ADDR/inventory
CPQ_ACTIVATION_URL=http://$SIMULATORS_ADDR/activation
CPQ_BILLING_URL=http://$SIMULATORS_ADDR/billing
CPQ_STREAMS_ADMIN_ADDR=$STREAMS_ADDR
CPQ_BRIDGE_ADMIN_ADDR=$BRIDGE_ADDR
CPQ_SIMULATORS_ADDR=$SIMULATORS_ADDR
CPQ_SIMULATORS_STATE=$DATA/simulators.jsonl
END
}

# For drills and tools: where this stack is and how it was started, so that they act on it and no other.
stack_environment() {
  cat <<END
CPQ_STACK_DIR=$STACK
CPQ_STACK_CACHE=$CACHE
CPQ_STACK_ENGINE=$ENGINE
CPQ_STACK_PORT_OFFSET=$OFFSET
CPQ_STACK_BROKERS=$BROKERS
CPQ_PROFILE=$PROFILE
END
}

write_environment() {
  mkdir -p "$STACK/artifacts" "$STACK/oidc"
  { service_environment; stack_environment; } | while IFS='=' read -r name value; do printf 'export %s=%q\n' "$name" "$value"; done >"$STACK/env.new"
  mv -f "$STACK/env.new" "$STACK/env"
}

# The owner may do anything in the database; a service never sees that URL.
service_environment_digest() { service_environment | grep -v '^CPQ_OWNER_' | sha256sum | cut -c1-16; }
