// covey doctor: what a machine, its folders and its coordinator lack, each with the remedy.
#include <cpuid.h>
#include <netdb.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "coordinator/cli/commands.h"
#include "coordinator/cli/demo_training.h"
#include "coordinator/cli/renewal.h"
#include "coordinator/cli/session.h"
#include "coordinator/service/home.h"
#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/service/exit_code.h"
#include "core/service/file_limit.h"
#include "core/store/blobs.h"
#include "core/tensor/cuda/cuda_ops.h"

namespace covey::cli {
namespace {

namespace fs = std::filesystem;

constexpr int kConnectTimeoutMs = 3000;
constexpr std::uint64_t kDiskFail = 200'000'000, kDiskWarn = 5'000'000'000;
constexpr std::uint64_t kMemoryWarn = 1'000'000'000;
constexpr double kClockWarnSeconds = 60;

class Examination {
 public:
  explicit Examination(Console& console) : console_(console) {}
  void ok(const std::string& what, const std::string& text) { say("ok", what, text, ""); }
  void warn(const std::string& what, const std::string& text, const std::string& remedy) {
    ++warnings_;
    say("warn", what, text, remedy);
  }
  void fail(const std::string& what, const std::string& text, const std::string& remedy) {
    ++failures_;
    say("fail", what, text, remedy);
  }
  int failures() const { return failures_; }
  int warnings() const { return warnings_; }

 private:
  void say(const std::string& level, const std::string& what, const std::string& text,
           const std::string& remedy) {
    console_.object(
        JsonObject().add("check", what).add("level", level).add("text", text).add("remedy", remedy));
    console_.line(level + std::string(6 - level.size(), ' ') + what +
                  std::string(what.size() < 13 ? 13 - what.size() : 1, ' ') + one_line(text));
    if (!remedy.empty()) console_.line("                   -> " + one_line(remedy));
  }
  Console& console_;
  int failures_ = 0;
  int warnings_ = 0;
};

// ---- this machine

std::string instruction_sets() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  std::string found;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return found;
  if (__builtin_cpu_supports("avx2")) found += " AVX2";
  if (__builtin_cpu_supports("avx512f")) found += " AVX-512";
  if ((d >> 24U & 1U) != 0) found += " AMX";
  if ((d >> 22U & 1U) != 0) found += " AMX-BF16";
  return found;
}

void examine_processor(Examination& out) {
  const std::string cores = std::to_string(cores_here()) + " cores for this process";
  const std::string sets = instruction_sets();
  if (sets.find("AVX") == std::string::npos)
    out.warn("processor", cores + ", without AVX2",
             "training works but is slow; use a processor with AVX2 or AVX-512 for larger models");
  else
    out.ok("processor", cores + ";" + sets);
  std::string why_not;
  if (cuda::cuda_available(&why_not))
    out.ok("gpu", "CUDA device found");
  else
    out.ok("gpu", "none, training runs on the processor (" + why_not + ")");
}

std::uint64_t memory_available() {
  std::ifstream file("/proc/meminfo");
  std::string key, unit;
  std::uint64_t kib = 0;
  while (file >> key >> kib) {
    std::getline(file, unit);
    if (key == "MemAvailable:") return kib * 1024;
  }
  return 0;
}

void examine_limits(Examination& out, std::uint32_t nodes_max) {
  const std::uint64_t memory = memory_available();
  if (memory != 0 && memory < kMemoryWarn)
    out.warn("memory", bytes_text(memory) + " available",
             "end other programs, or train small models with small batches");
  else
    out.ok("memory", bytes_text(memory) + " available");
  const std::uint64_t files = file_limit_max(), wanted = files_wanted(nodes_max);  // the daemons raise the soft limit to it
  const std::string text = std::to_string(files) + " at most; a coordinator of " + std::to_string(nodes_max) + " nodes wants " +
                           std::to_string(wanted);
  if (files < wanted)
    out.warn("open files", text,
             "where the coordinator runs, raise the hard limit (`ulimit -Hn`, LimitNOFILE= in a systemd unit), or lower nodes-max in its coordinator.toml");
  else
    out.ok("open files", text);
}

void examine_clock(Examination& out) {
  timex state{};
  const int synchronised = ::adjtimex(&state);
  const std::string now = date_text(SystemClock().now()) + " UTC";
  if (synchronised == TIME_ERROR || (state.status & STA_UNSYNC) != 0)
    out.warn("clock", now + ", not kept by a time service",
             "run one (systemd-timesyncd, chrony): tokens expire by the clock");
  else
    out.ok("clock", now + ", kept by a time service");
}

void examine_disk(Examination& out, const std::string& home) {
  fs::path folder = fs::absolute(home);
  std::error_code code;
  while (!fs::exists(folder, code) && folder.has_relative_path()) folder = folder.parent_path();
  struct statvfs disk {};
  if (::statvfs(folder.c_str(), &disk) != 0) {
    out.fail("disk", "cannot ask about " + folder.string() + ": " + std::strerror(errno),
             "name another folder with --home");
    return;
  }
  const std::uint64_t left = std::uint64_t{disk.f_bavail} * disk.f_frsize;
  const std::string text = bytes_text(left) + " free at " + folder.string();
  if (left < kDiskFail)
    out.fail("disk", text, "free some: models and updates are kept until their round is committed");
  else if (left < kDiskWarn)
    out.warn("disk", text, "free some before training large models");
  else
    out.ok("disk", text);
}

// ---- the home folder

void examine_secret(Examination& out, const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0)
    out.fail("keys", path + ": " + std::strerror(errno),
             "restore it from a backup, or run `covey init` in a fresh --home");
  else if ((info.st_mode & 077U) != 0)
    out.fail("keys", path + " may be read by others", "chmod 600 " + path);
  else if (::access(path.c_str(), R_OK) != 0)
    out.fail("keys", path + " cannot be read by this user", "run as the user who owns it");
}

// The folders of a home that are on this machine; not all must be.
void examine_home(Examination& out, const std::string& home) {
  struct Part {
    std::string folder;
    std::string what;
    std::vector<std::string> secrets;
  };
  const std::vector<Part> parts{{authority_folder(home), "authority", {"authority.key"}},
                                {coordinator_folder(home), "coordinator", {"curve.key"}},
                                {operator_folder(home), "operator", {"signing.key", "curve.key"}}};
  std::string here;
  std::error_code code;
  for (const Part& part : parts) {
    if (!fs::is_directory(part.folder, code)) continue;
    here += (here.empty() ? "" : ", ") + part.what;
    for (const std::string& secret : part.secrets) examine_secret(out, part.folder + "/" + secret);
  }
  if (here.empty())
    out.fail("home", home + " holds nothing of Covey",
             "run `covey init`, or name the folder with --home or COVEY_HOME");
  else
    out.ok("home", home + " holds: " + here);
  const bool both = fs::is_directory(authority_folder(home), code) &&
                    fs::is_directory(coordinator_folder(home) + "/data", code);
  if (both)
    out.warn("authority", "its key lies on the machine where a coordinator has run",
             "for more than a trial, move " + authority_folder(home) + " to the operator's own machine");
}

void examine_pin(Examination& out, const std::string& home, const Membership& membership) {
  const std::string key = short_hex(membership.coordinator.curve);
  auto own = load_coordinator_home(coordinator_folder(home));
  if (!own && own.error().code == ErrorCode::kNotFound)
    out.ok("pinned key", "the coordinator's begins with " + key);
  else if (!own)
    out.fail("pinned key", own.error().message, "restore the coordinator's folder from one backup");
  else if (own->address != membership.coordinator)
    out.fail("pinned key",
             "the operator's folder names another coordinator than the one in " + coordinator_folder(home),
             "use the operator folder that the same `covey init` made");
  else
    out.ok("pinned key",
           "the coordinator's begins with " + key + ", the same in its folder and the operator's");
}

// ---- the network

// Empty when a connection came about, else why not.
std::string connect_to(const std::string& host, std::uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int code = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found); code != 0)
    return ::gai_strerror(code);
  std::string why = "no address";
  for (const addrinfo* at = found; at != nullptr && !why.empty(); at = at->ai_next) {
    const FileDescriptor socket(
        ::socket(at->ai_family, at->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, at->ai_protocol));
    int error = 0;
    if (::connect(socket.number(), at->ai_addr, at->ai_addrlen) != 0) error = errno;
    if (error == EINPROGRESS) {
      pollfd waiting{socket.number(), POLLOUT, 0};
      socklen_t size = sizeof error;
      if (::poll(&waiting, 1, kConnectTimeoutMs) <= 0)
        error = ETIMEDOUT;
      else
        ::getsockopt(socket.number(), SOL_SOCKET, SO_ERROR, &error, &size);
    }
    why = error == 0 ? "" : std::strerror(error);
  }
  ::freeaddrinfo(found);
  return why;
}

bool examine_port(Examination& out, const std::string& what, const std::string& host, std::uint16_t port) {
  const std::string where = host + ":" + std::to_string(port);
  const std::string why = connect_to(host, port);
  if (why.empty())
    out.ok(what, where + " takes connections");
  else
    out.fail(what, where + ": " + why, "start covey-coordinator there, and let firewalls pass this port");
  return why.empty();
}

// The coordinator heard of a connected client a few seconds ago by its own clock.
void compare_clocks(Examination& out, const std::vector<NodeSummary>& nodes) {
  const Instant now = SystemClock().now();
  for (const NodeSummary& node : nodes) {
    if (!node.connected) continue;
    const double apart = seconds(now - node.last_seen);
    if (std::abs(apart) > kClockWarnSeconds)
      out.warn("clocks",
               "the coordinator's clock and this one are about " + duration_text(std::abs(apart)) + " apart",
               "set both by a time service: tokens expire by the clock");
    else
      out.ok("clocks", "the coordinator's clock and this one agree");
    return;
  }
}

void examine_memberships(Examination& out, const std::vector<NodeSummary>& nodes) {
  constexpr std::size_t kNamed = 5;
  const Instant now = SystemClock().now();
  std::size_t ended = 0, soon = 0;
  std::string names;
  for (const NodeSummary& node : nodes) {
    const std::string standing = standing_of(node, now);
    if (standing.empty()) continue;
    ++(standing == "ended" ? ended : soon);
    if (ended + soon <= kNamed)
      names += (names.empty() ? ": " : ", ") + node.name + " (" + date_text(node.members_until).substr(0, 10) + ")";
  }
  if (ended + soon == 0) return out.ok("memberships", "none ends within 30 days");
  if (ended + soon > kNamed) names += " and " + std::to_string(ended + soon - kNamed) + " more";
  out.warn("memberships", std::to_string(ended) + " ended, " + std::to_string(soon) + " end within 30 days" + names,
           "`covey renew NODE` or `covey renew --all`, with the authority's key; `covey revoke` those that are not to come back");
}

void examine_coordinator(Examination& out, const std::string& home) {
  MemoryBlobs blobs;
  auto session = Session::open(home, blobs);
  if (!session)
    return out.fail("coordinator", session.error().message,
                    "run `covey init`, or name the folder with --home");
  examine_pin(out, home, (*session)->membership());
  const CoordinatorAddress& address = (*session)->membership().coordinator;
  const bool control = examine_port(out, "control port", address.host, address.control_port);
  const bool bulk = examine_port(out, "bulk port", address.host, address.bulk_port);
  if (!control || !bulk) return;
  auto nodes = (*session)->nodes();
  if (!nodes)
    return out.fail(
        "coordinator", nodes.error().message,
        "if it runs, its key or this operator's may have changed: compare the pinned key, ask who runs it");
  std::size_t clients = 0, connected = 0;
  for (const NodeSummary& node : *nodes) {
    clients += node.role == Role::kClient && !node.revoked ? 1 : 0;
    connected += node.role == Role::kClient && node.connected ? 1 : 0;
  }
  out.ok("coordinator", "answers; " + std::to_string(connected) + " of " + std::to_string(clients) +
                            " clients are connected");
  compare_clocks(out, *nodes);
  examine_memberships(out, *nodes);
}

}  // namespace

Result<int> doctor_command(const DoctorOptions& options, Console& console) {
  const std::string& home = options.home;
  Examination out(console);
  examine_processor(out);
  examine_limits(out, options.nodes_max);
  examine_clock(out);
  examine_disk(out, home);
  examine_home(out, home);
  std::error_code code;
  if (fs::is_directory(operator_folder(home), code)) examine_coordinator(out, home);
  console.line("");
  console.line(std::to_string(out.failures()) + " failed, " + std::to_string(out.warnings()) + " to look at");
  return out.failures() == 0 ? kExitOk : kExitFailed;
}

}  // namespace covey::cli
