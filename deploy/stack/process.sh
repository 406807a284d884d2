# shellcheck shell=bash
# Owns the book-keeping of processes: start detached, know by pid and start time, ask for readiness, end.
# A pid alone may by now belong to someone else; with the kernel's start time it is the process that we started, or none.

# Lines of a log shown when its process dies.
LOG_TAIL=25

declare -A SPAWNED_AT=()

start_time() { # PID: the 22nd field of stat; the command name before it may hold spaces and brackets
  local stat; stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
  # shellcheck disable=SC2086 # its fields are wanted apart
  stat=${stat##*) }; set -- $stat; echo "${20}"
}

pid_of() { local pid; read -r pid _ <"$RUN/$1.pid" 2>/dev/null && echo "$pid"; }

running() { # NAME: is the recorded process still that process, and no zombie?
  local pid recorded
  [ -s "$RUN/$1.pid" ] && read -r pid recorded <"$RUN/$1.pid" || return 1
  [ -n "$recorded" ] && [ "$(start_time "$pid")" = "$recorded" ] && ! grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null
}

port_taken() { (exec 3<>"/dev/tcp/${1%:*}/${1##*:}") 2>/dev/null; }

require_free() { # NAME ADDRESS VARIABLE
  ! port_taken "$2" || fail "$1 cannot start: something else listens on $2; end it, or set $3 or CPQ_STACK_PORT_OFFSET"
}

spawn() { # NAME COMMAND...: a detached process; its pid and start time into run/NAME.pid
  local name=$1 pid; shift
  [ ! -s "$LOGS/$name.log" ] || mv -f "$LOGS/$name.log" "$LOGS/$name.log.1"
  # 9 is the stack's lock: a child that held it would keep it for ever.
  setsid "$@" >"$LOGS/$name.log" 2>&1 </dev/null 9>&- &
  pid=$!; disown "$pid"
  SPAWNED_AT[$name]=$(milliseconds)
  echo "$pid $(start_time "$pid")" >"$RUN/$name.pid"
}

show_death() { # NAME
  complain "$1 died. The end of $LOGS/$1.log:"
  tail -n "$LOG_TAIL" "$LOGS/$1.log" | sed 's/^/    /' >&2
}

await() { # NAME SECONDS WHERE CHECK...: until CHECK succeeds; at once an error if the process dies
  local name=$1 limit=$2 where=$3 began=${SPAWNED_AT[$1]:-} deadline; shift 3
  deadline=$(($(milliseconds) + limit * 1000))
  until "$@" >/dev/null 2>&1; do
    if ! running "$name"; then show_death "$name"; rm -f "$RUN/$name.pid"; return 1; fi
    if [ "$(milliseconds)" -gt "$deadline" ]; then
      complain "$name runs but did not become ready in $limit s. The end of $LOGS/$name.log:"
      tail -n "$LOG_TAIL" "$LOGS/$name.log" | sed 's/^/    /' >&2
      return 1
    fi
    sleep 0.1
  done
  # Something answered; it must be ours.
  running "$name" || { show_death "$name"; return 1; }
  if [ -n "$began" ]; then printf 'stack: %-16s ready in %-8s %s\n' "$name" "$(since "$began")" "$where"
  else printf 'stack: %-16s %-17s %s\n' "$name" 'runs already' "$where"; fi
}

http_ok() { curl -fsS -m 5 -o /dev/null "$1"; }

end() { # NAME [SIGNAL] [SECONDS]: ask to end, then insist
  local name=$1 signal=${2:-TERM} limit=${3:-30} pid deadline began
  running "$name" || { rm -f "$RUN/$name.pid"; return 0; }
  pid=$(pid_of "$name"); began=$(milliseconds); deadline=$((began + limit * 1000))
  kill -"$signal" "$pid" 2>/dev/null || true
  while running "$name" && [ "$(milliseconds)" -lt "$deadline" ]; do sleep 0.05; done
  if running "$name"; then
    complain "$name (pid $pid) did not end in $limit s after SIG$signal: SIGKILL"
    kill -KILL "$pid" 2>/dev/null || true
    while running "$name"; do sleep 0.05; done
  fi
  rm -f "$RUN/$name.pid"
  printf 'stack: %-16s ended in %s\n' "$name" "$(since "$began")"
}
