// The house as data: rooms, doors, who may name which third party, and what a state machine must
// not touch. docs/architecture.md draws the same; change both together.
//
// To add a room: one row in kPlaces (where its files lie) and one in kRooms (what it may use).
// To add a library: one row in kThirdParties.
#pragma once
#include <array>
#include <string_view>

namespace covey::lint {

// Where files belong. The longest prefix wins. "" is a path outside every room: no rule of doors.
struct Place {
  std::string_view prefix;
  std::string_view room;
};

inline constexpr auto kPlaces = std::to_array<Place>({
    {"core/base/", "core/base"},
    {"core/crypto/", "core/crypto"},
    {"core/store/", "core/store"},
    {"core/spec/", "core/spec"},
    {"core/tensor/", "core/tensor"},
    {"core/tensor/cuda/", "core/tensor/cuda"},
    {"core/nn/", "core/nn"},
    {"core/data/", "core/data"},
    {"core/protocol/", "core/protocol"},
    {"core/service/", "core/service"},
    {"aggregation/", "aggregation"},
    {"privacy/", "privacy"},
    {"net/codec", "net/codec"},
    {"net/frame", "net/codec"},
    {"net/blob_transfer", "net/codec"},
    {"net/schema", "net/codec"},
    {"net/", "net/transport"},
    {"coordinator/", "coordinator"},
    {"coordinator/main.cpp", "main/coordinator"},
    {"coordinator/service/", "main/coordinator"},
    {"coordinator/cli", "main/cli"},  // coordinator/cli.cpp, coordinator/cli_*.cpp, coordinator/cli/
    {"client/", "client"},
    {"client/main.cpp", "main/client"},
    {"client/service/", "main/client"},
    {"sim/", "sim"},
    {"sim/main.cpp", "main/sim"},
    {"tests/", "tests"},
    {"bench/", "bench"},
    {"examples/", "examples"},
});

// A room may use itself, the rooms named here, and what those may use. "*" is every room.
struct Room {
  std::string_view name;
  std::string_view uses;  // separated by blanks
};

inline constexpr auto kRooms = std::to_array<Room>({
    {"core/base", ""},
    {"core/crypto", "core/base"},
    {"core/store", "core/base core/crypto"},
    {"core/spec", "core/base"},
    {"core/tensor", "core/base core/tensor/cuda"},
    {"core/tensor/cuda", "core/base core/tensor"},
    {"core/nn", "core/tensor core/spec"},
    {"core/data", "core/tensor core/spec"},
    {"core/protocol", "core/spec core/tensor core/crypto core/base"},
    {"core/service", "core/protocol core/store"},  // what every main shares
    {"aggregation", "core/protocol"},
    {"privacy", "core/protocol"},
    {"net/codec", "core/protocol"},
    {"net/transport", "net/codec core/protocol"},
    {"coordinator", "core/nn aggregation privacy"},
    {"client", "core/nn core/data aggregation privacy"},
    {"sim", "coordinator client net/codec core/store"},
    // What their process needs: never the other process, and the simulator only in its own.
    {"main/coordinator", "coordinator net/transport core/service core/store core/nn core/data"},
    {"main/client", "client net/transport core/service core/store"},
    {"main/cli", "main/coordinator main/client"},
    {"main/sim", "sim core/service"},
    {"tests", "*"},
    {"bench", "*"},
    {"examples", "main/cli"},
});

// Who may name a third party's headers: in sources, and in headers that no other room includes, so
// that it does not spread. Tests and bench may name any. A match is a prefix of the included path, or, with a
// leading '*', its end.
struct ThirdParty {
  std::string_view match;
  std::string_view rooms;  // separated by blanks
};

inline constexpr std::string_view kMains = "main/coordinator main/client main/cli main/sim";

inline constexpr auto kThirdParties = std::to_array<ThirdParty>({
    {"spdlog/", "core/base"},
    {"fmt/", "core/base"},
    {"sodium", "core/crypto"},
    {"openssl/", "core/crypto"},
    {"rocksdb/", "core/store"},
    {"oneapi/", "core/tensor"},
    {"dnnl", "core/tensor"},
    {"cuda", "core/tensor/cuda"},
    {"cublas", "core/tensor/cuda"},
    {"cudnn", "core/tensor/cuda"},
    {"cub/", "core/tensor/cuda"},
    {"cooperative_groups", "core/tensor/cuda"},
    {"mma.h", "core/tensor/cuda"},
    {"nccl", "core/tensor/cuda"},
    {"nvml", "core/tensor/cuda"},
    {"zlib.h", "core/data"},
    {"toml++/", "core/protocol sim"},
    {"nlohmann/", "core/data main/coordinator main/client main/cli main/sim"},
    {"CLI/", kMains},
    {"capnp/", "net/codec"},
    {"kj/", "net/codec"},
    {"*.capnp.h", "net/codec"},
    {"zmq", "net/transport"},
    {"httplib.h", "net/transport"},
    {"mpi.h", "sim main/sim"},
    {"benchmark/", "bench"},
    {"doctest/", "tests"},
});

// Headers of the operating system, the compiler and C. Any angle include that is neither here, nor
// above, nor a C++ standard header (a name without '.' and '/') is unknown and fails.
inline constexpr auto kSystemHeaders = std::to_array<std::string_view>({
    "sys/", "linux/", "netinet/", "arpa/", "net/if", "unistd.h", "fcntl.h", "poll.h", "signal.h", "spawn.h",
    "dlfcn.h", "pthread.h", "sched.h", "netdb.h", "ifaddrs.h", "dirent.h", "termios.h", "syslog.h", "pwd.h",
    "grp.h", "link.h", "ftw.h", "glob.h", "mntent.h", "malloc.h", "execinfo.h", "getopt.h", "errno.h", "limits.h",
    "stdint.h", "stddef.h", "stdlib.h", "stdio.h", "string.h", "time.h", "math.h", "float.h", "omp.h", "cpuid.h",
    "immintrin.h", "x86intrin.h", "emmintrin.h", "xmmintrin.h", "arm_neon.h", "sanitizer/",
});

// State machines: coordinator/ and client/ without their mains' parts and these.
inline constexpr auto kNotStateMachines = std::to_array<std::string_view>({
    "client/trainer",     // runs on a worker, beside the machine
    "client/mask_work",   // the same
    "coordinator/work",   // runs on a worker, beside the machine
    "coordinator/work_secure",
    "client/capability",  // measures this computer once, before the machine starts
});

// A state machine is a function of (event, now): these would let time, threads, files or the
// network in by the back door. A header is matched whole, or as a prefix if it ends in '/'.
inline constexpr auto kImpureHeaders = std::to_array<std::string_view>({
    "thread", "mutex", "shared_mutex", "condition_variable", "future", "semaphore", "latch", "barrier",
    "stop_token", "fstream", "filesystem", "iostream", "core/base/worker_pool.h", "core/base/clock.h",
});
inline constexpr auto kImpureWords = std::to_array<std::string_view>({
    "system_clock", "steady_clock", "high_resolution_clock", "clock_gettime", "gettimeofday", "sleep_for",
    "sleep_until", "nanosleep", "usleep", "getenv", "fopen",
});

// Results must be the same bits everywhere; the standard's distributions and shuffles are not.
inline constexpr auto kUnreproducible = std::to_array<std::string_view>({
    "std::shuffle", "std::sample", "std::random_device", "std::random_shuffle", "srand",
});

// What may lie at the top of the repository.
inline constexpr auto kTopLevel = std::to_array<std::string_view>({
    ".ci", ".cmake", ".clang-format", ".gitattributes", ".gitignore", ".github", "CMakeLists.txt",
    "CMakePresets.json", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md", "SECURITY.md", "aggregation",
    "bench", "check", "client", "coordinator", "core", "demo", "docs", "examples", "net", "packaging", "privacy",
    "sim", "tests",
});

inline constexpr std::size_t kSourceLinesMax = 600;

}  // namespace covey::lint
