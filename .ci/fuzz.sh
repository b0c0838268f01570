#!/usr/bin/env bash
# .ci/fuzz.sh SECONDS FUZZER CORPUS: replays the corpus, then fuzzes. Called by ./check fuzz, several at
# once. The log is build/fuzz/FUZZER.log; exits with 1 when something was found.
set -u
seconds=$1 fuzzer=$2 corpus=$3 log=build/fuzz/$2.log
mkdir -p "build/fuzz/grown/$fuzzer" build/fuzz/findings
echo "check: $fuzzer: replaying its corpus, then $seconds s of fuzzing"
if ! "build/fuzz/bin/$fuzzer" -runs=0 "$corpus" >"$log" 2>&1 ||
  ! "build/fuzz/bin/$fuzzer" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
    -artifact_prefix="build/fuzz/findings/$fuzzer-" "build/fuzz/grown/$fuzzer" "$corpus" >>"$log" 2>&1; then
  echo "$fuzzer" >>build/fuzz/failed.txt
  tail -n 40 "$log"
  exit 1
fi
echo "check: $fuzzer: $(tail -n 1 "$log")"
