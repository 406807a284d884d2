# One image with every program; which one runs is the container's command. Built by docker-compose.yml.
ARG RUST_VERSION
FROM rust:${RUST_VERSION}-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends zlib1g-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/source/target \
    cargo build --release --locked --workspace --bins && \
    mkdir /programs && cp target/release/command-gateway target/release/streams target/release/camunda-bridge target/release/cpq target/release/simulators /programs/

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates curl zlib1g && rm -rf /var/lib/apt/lists/* && \
    useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin cpq && \
    install -d -o cpq -g cpq /var/lib/cpq /var/lib/cpq/oidc /var/lib/cpq/artifacts
COPY --from=build /programs/ /usr/local/bin/
# What `cpq` reads when it provisions, in the repository's own layout.
WORKDIR /srv/cpq
COPY topics.yaml ./
COPY avro ./avro
COPY migrations ./migrations
COPY camunda-bridge/models ./camunda-bridge/models
COPY deploy/provision.sh ./deploy/
COPY deploy/reference-data ./deploy/reference-data
USER cpq
VOLUME /var/lib/cpq
EXPOSE 8080 8082 8083 8084
CMD ["command-gateway"]
