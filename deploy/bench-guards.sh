#!/usr/bin/env bash
# Builds what the benchmark R10 compares: gateway and processors as they are, and without their guards (feature `unguarded`), both in
# the profile `bench-guards`, since a release build refuses that feature. They go to TARGET/bench-guards/{guarded,unguarded} and
# nowhere else. TARGET is CARGO_TARGET_DIR or target.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

built=${CARGO_TARGET_DIR:-target}/bench-guards
programs=(command-gateway streams)

build() { # FOLDER FLAG...
  local folder=$built/$1; shift
  cargo build --quiet --profile bench-guards --package command-gateway --package streams --bins "$@"
  mkdir -p "$folder"
  install "${programs[@]/#/$built/}" "$folder/"
}

build unguarded --features command-gateway/unguarded,streams/unguarded
# The last stays in the build's own folder: the one that is as released.
build guarded
