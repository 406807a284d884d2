#!/usr/bin/env bash
# Holds the two ways of running the stack together: the same variables for the services, valid scripts, a valid compose file.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
wrong=0
complain() { echo "check: $*" >&2; wrong=1; }

scripts=(deploy/*.sh deploy/stack/*.sh .ci/run)
for script in "${scripts[@]}"; do bash -n "$script" || complain "$script does not parse"; done
# The files of deploy/stack are parts of stack.sh and are read with it.
if command -v shellcheck >/dev/null; then shellcheck -x -P SCRIPTDIR deploy/*.sh .ci/run || complain 'shellcheck has findings'; fi

names() { grep -oE '^ *CPQ_[A-Z_]+' | tr -d ' ' | sort -u; }
# shellcheck source=stack/config.sh disable=SC1091
local_names=$(. deploy/stack/config.sh; . deploy/stack/environment.sh; service_environment | names)
compose_names=$({ cat deploy/settings/services.env; sed -n '/^x-service-environment/,/^services:/p; /^  provision:/,/^  [a-z-]*:$/p' docker-compose.yml; } | names)
diff <(echo "$local_names") <(echo "$compose_names") || complain 'the services get other variables locally (<) than from docker-compose.yml (>)'

if docker compose version >/dev/null 2>&1; then docker compose config --quiet || complain 'docker compose config refuses docker-compose.yml'
else echo 'check: no docker compose here, docker-compose.yml was only compared'; fi

[ "$wrong" = 0 ] && echo 'check: scripts and settings are sound'
exit "$wrong"
