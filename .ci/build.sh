# shellcheck shell=bash
# Configure and build one preset; sourced by ./check and ./demo, after .ci/setup.sh, from the
# repository's root.

# Compilations at once: one core each, and 1.5 GB of free memory each.
covey_jobs() {
  local cores by_memory
  cores=$(covey_cores)
  by_memory=$(($(covey_memory_mb MemAvailable) / 1536))
  [ "$by_memory" -ge 1 ] || by_memory=1
  echo $((cores < by_memory ? cores : by_memory))
}

# covey_configure PRESET [-DNAME=VALUE...]
# Ninja reruns CMake when a CMake file changes. It cannot see a new room, a changed preset, another
# nvcc or a moved source tree, so those are compared with what the last configure saw.
covey_configure() {
  local preset=$1 tree=build/$1 stamp=build/$1/.configured now
  local -a fresh=()
  shift
  now="root $PWD; nvcc $(covey_nvcc); options $*; rooms and presets $(
    { find . \( -path ./build -o -path ./.git \) -prune -o -name CMakeLists.txt -print | sort; cat CMakePresets.json; } | cksum)"
  if [ -e "$tree/build.ninja" ] && [ -e "$stamp" ] && [ "$now" = "$(cat "$stamp")" ]; then
    return 0
  fi
  if [ -e "$tree/CMakeCache.txt" ] && [ "${now%%; options*}" != "$(sed 's/; options.*//' "$stamp" 2>/dev/null)" ]; then
    fresh=(--fresh)  # cached paths of compilers and sources no longer hold
  fi
  rm -f "$stamp"
  # The benchmarks are asked for by name; a later plain build must not keep them.
  cmake "${fresh[@]}" --log-level=NOTICE --preset "$preset" -DCOVEY_BENCH=OFF "$@" || return 1
  echo "$now" >"$stamp"
}

# Runs a command in its own process group, so that Ctrl-C (or a cancelled CI job) ends it and all
# it started, and nothing is left behind. No standard input.
covey_child=
covey_start() {
  set -m
  "$@" </dev/null &
  covey_child=$!
  set +m
}
covey_wait() {
  local rc=0
  wait "$covey_child" || rc=$?
  covey_child=
  return "$rc"
}
covey_run() {
  covey_start "$@"
  covey_wait
}

covey_stop() {
  trap '' INT TERM HUP
  if [ -n "$covey_child" ]; then
    kill -TERM -- "-$covey_child" 2>/dev/null
    wait "$covey_child" 2>/dev/null
  fi
  echo "${0##*/}: interrupted" >&2
  exit "$1"
}
trap 'covey_stop 130' INT
trap 'covey_stop 143' TERM HUP
