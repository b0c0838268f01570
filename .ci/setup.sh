#!/usr/bin/env bash
# Finds out what this machine lacks and has, and installs the Debian packages that are missing.
#
#   .ci/setup.sh [--fuzz] [--figures]     run it, or source it and call covey_setup
#
# Needs nothing but bash, coreutils, grep, sed and dpkg: it runs on a bare Debian 12 without sudo,
# git, python or curl. Where everything is there it costs some 50 ms and changes nothing.
# Exit codes: 0 ready, 2 unknown option, 3 packages are missing and could not be installed.
# COVEY_SKIP_SETUP=1 skips the package part, for systems that get the libraries another way.

covey_packages="build-essential cmake ninja-build ccache pkg-config
  libzmq3-dev libsodium-dev libssl-dev capnproto libcapnp-dev librocksdb-dev libdnnl-dev
  libcli11-dev libtomlplusplus-dev nlohmann-json3-dev libspdlog-dev libfmt-dev
  libcpp-httplib-dev zlib1g-dev doctest-dev"
covey_packages_fuzz="clang-14 libclang-rt-14-dev"  # clang-14 alone brings no sanitizer runtimes
covey_packages_figures="libbenchmark-dev"

# Prints the packages among "$@" that dpkg does not hold as installed.
covey_missing_packages() {
  local installed package
  # shellcheck disable=SC2016  # the braces are dpkg-query's
  installed=" $(dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' "$@" 2>/dev/null |
    sed -n 's/^.i *//p' | tr '\n' ' ')"
  for package in "$@"; do
    case "$installed" in *" $package "*) ;; *) echo "$package" ;; esac
  done
}

# Where nvcc is; empty without a CUDA toolkit. The same places as .cmake/CoveyCuda.cmake.
covey_nvcc() {
  local candidate
  for candidate in "$(command -v nvcc 2>/dev/null)" "${CUDACXX:-}" "${CUDA_HOME:+$CUDA_HOME/bin/nvcc}" \
    /usr/local/cuda/bin/nvcc; do
    if [ -n "$candidate" ] && [ -x "$candidate" ]; then
      echo "$candidate"
      return
    fi
  done
}

# The GPUs' names, one per line. The driver's own files first: nvidia-smi can take seconds.
covey_gpus() {
  if ls /proc/driver/nvidia/gpus/*/information >/dev/null 2>&1; then
    sed -n 's/^Model:[[:space:]]*//p' /proc/driver/nvidia/gpus/*/information
  elif command -v nvidia-smi >/dev/null 2>&1; then
    timeout 20 nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null || true
  fi
}

# Cores this process may use: affinity, then the container's quota.
covey_cores() {
  local cores quota period
  cores=$(nproc 2>/dev/null || echo 1)
  if read -r quota period 2>/dev/null </sys/fs/cgroup/cpu.max && [ "$quota" != max ]; then
    quota=$(((quota + period - 1) / period))
    [ "$quota" -ge 1 ] && [ "$quota" -lt "$cores" ] && cores=$quota
  fi
  echo "$cores"
}

# Megabytes of /proc/meminfo's $1 (MemTotal, MemAvailable), or the container's limit if smaller;
# a careful 2 GB where there is no /proc.
covey_memory_mb() {
  local mb limit
  mb=$(sed -n "s/^$1: *\([0-9]*\) kB/\1/p" /proc/meminfo 2>/dev/null)
  mb=$((${mb:-2097152} / 1024))
  if read -r limit 2>/dev/null </sys/fs/cgroup/memory.max && [ "$limit" != max ]; then
    limit=$((limit / 1048576))
    [ "$limit" -lt "$mb" ] && mb=$limit
  fi
  echo "$mb"
}

# One line: what was found here that decides how fast Covey trains.
covey_machine() {
  local flags simd="" nvcc cuda gpus gpu
  flags=" $(sed -n 's/^flags[[:space:]]*: //p;/^flags/q' /proc/cpuinfo 2>/dev/null) "
  case "$flags" in *" amx_bf16 "*) simd="$simd AMX" ;; esac
  case "$flags" in *" avx512f "*) simd="$simd AVX-512" ;; esac
  case "$flags" in *" avx2 "*) simd="$simd AVX2" ;; esac
  nvcc=$(covey_nvcc)
  if [ -n "$nvcc" ]; then
    cuda="CUDA toolkit $("$nvcc" --version | sed -n 's/.*release \([0-9.]*\).*/\1/p') ($nvcc)"
  else
    cuda="no CUDA toolkit"
  fi
  gpus=$(covey_gpus)
  if [ -n "$gpus" ]; then
    gpu="$(echo "$gpus" | wc -l) GPU ($(echo "$gpus" | head -n 1))"
  else
    gpu="no GPU"
  fi
  [ -r /proc/cpuinfo ] || simd=" unknown vector units (no /proc)"
  echo "machine: $(covey_cores) cores, $(($(covey_memory_mb MemTotal) / 1024)) GB,${simd:- no AVX2}, $gpu, $cuda"
}

# Installs "$@" as root. Its output goes to a log, whose end is shown when it fails.
covey_apt_install() {
  local log rc=0
  local -a as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    as_root=(sudo)
    [ -t 0 ] || as_root=(sudo -n)  # nobody is there to type a password
  fi
  log=$(mktemp -t covey-setup.XXXXXX) || return 1
  {
    # A third party's broken source must not stop us: the install says what it could not find.
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q update || true
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 \
      -o Dpkg::Use-Pty=0 install --no-install-recommends "$@"
  } >"$log" 2>&1 || rc=$?
  if [ "$rc" -ne 0 ]; then
    echo "setup: apt-get failed (exit code $rc); its last lines:" >&2
    tail -n 30 "$log" >&2
  fi
  rm -f "$log"
  return "$rc"
}

covey_setup() {
  local wanted=$covey_packages missing option
  for option in "$@"; do
    case "$option" in
      --fuzz) wanted="$wanted $covey_packages_fuzz" ;;
      --figures) wanted="$wanted $covey_packages_figures" ;;
      *)
        echo "setup: unknown option '$option' (known: --fuzz --figures)" >&2
        return 2
        ;;
    esac
  done
  # shellcheck disable=SC2086,SC2116  # unquoted on purpose: one line, single spaces
  wanted=$(echo $wanted)

  if [ "${COVEY_SKIP_SETUP:-0}" = 1 ]; then
    echo "setup: packages not checked (COVEY_SKIP_SETUP=1)"
  elif ! command -v dpkg-query >/dev/null 2>&1 || ! command -v apt-get >/dev/null 2>&1; then
    echo "setup: this system has no apt, so nothing can be installed for you." >&2
    echo "setup: install what these Debian 12 packages hold, then run again with COVEY_SKIP_SETUP=1:" >&2
    echo "  $wanted" >&2
    return 3
  else
    # shellcheck disable=SC2086,SC2046,SC2005
    missing=$(echo $(covey_missing_packages $wanted))
    if [ -z "$missing" ]; then
      echo "setup: all $(echo "$wanted" | wc -w) packages are installed"
    else
      echo "setup: missing $(echo "$missing" | wc -w) Debian packages: $missing"
      echo "setup: installing them with apt-get (some 170 MB if all are missing)"
      # shellcheck disable=SC2086
      if { [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null 2>&1; } ||
        ! covey_apt_install $missing; then
        echo "setup: could not install them from here. Run this as root, then start again:" >&2
        echo "  apt-get update && apt-get install -y --no-install-recommends $missing" >&2
        return 3
      fi
      echo "setup: installed"
    fi
  fi
  covey_machine
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
  covey_setup "$@"
fi
