#include "coordinator/cli/demo_federation.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "coordinator/cli/token.h"
#include "coordinator/service/home.h"
#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/service/signals.h"

namespace covey::cli {
namespace {

namespace fs = std::filesystem;

constexpr Duration kStartTimeout = std::chrono::seconds(30);

Unexpected interrupted() { return unexpected(ErrorCode::kUnavailable, "interrupted"); }

// Below the range from which the kernel gives ports to outgoing connections: a coordinator that was killed
// must find its own free again.
constexpr std::uint64_t kPortFirst = 10'000, kPortCount = 22'000;
constexpr int kPortTries = 1000;

Result<std::uint16_t> bind_any(const FileDescriptor& socket, SystemRandom& random) {
  for (int tries = 0; socket.number() >= 0 && tries < kPortTries; ++tries) {
    std::uint64_t draw = 0;
    random.fill({reinterpret_cast<std::uint8_t*>(&draw), sizeof draw});
    const auto port = static_cast<std::uint16_t>(kPortFirst + draw % kPortCount);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    if (::bind(socket.number(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return port;
    if (errno != EADDRINUSE) break;
  }
  return unexpected(system_error_of(errno, "no free port on 127.0.0.1"));
}

}  // namespace

Result<std::pair<std::uint16_t, std::uint16_t>> two_free_ports() {
  const FileDescriptor first(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const FileDescriptor second(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  SystemRandom random;
  COVEY_TRY(const std::uint16_t a, bind_any(first, random));
  COVEY_TRY(const std::uint16_t b, bind_any(second, random));
  return std::pair{a, b};
}

Result<Programs> find_programs() {
  std::error_code code;
  const fs::path self = fs::read_symlink("/proc/self/exe", code);
  if (code) return unexpected(ErrorCode::kNotFound, "cannot tell where this program lies: " + code.message());
  const std::string folder = self.parent_path().string();
  Programs programs{folder, folder + "/covey-coordinator", folder + "/covey-client"};
  for (const std::string& program : {programs.coordinator, programs.client})
    if (::access(program.c_str(), X_OK) != 0)
      return unexpected(ErrorCode::kNotFound,
                        program + " is not there; build it: ninja covey-coordinator covey-client");
  return programs;
}

Federation::Federation(const Request& request)
    : request_(request), home_((fs::path(request.folder) / "home").string()) {}

Federation::~Federation() {
  if (chaos_) (void)chaos_->stop();
  session_.reset();
  for (Node& client : clients_) client.process.ask_to_stop();
  clients_.clear();  // waits for each
  coordinator_.clear();
  chaos_.reset();
}

Result<std::unique_ptr<Federation>> Federation::start(const Request& request, BlobStore& blobs,
                                                      Console& console) {
  std::unique_ptr<Federation> federation(new Federation(request));
  COVEY_TRY_VOID(federation->start_coordinator(blobs));
  COVEY_TRY_VOID(federation->wait_for_coordinator());
  for (const DemoClient& client : request.clients) COVEY_TRY_VOID(federation->start_client(client));
  COVEY_TRY_VOID(federation->wait_for_clients(console));
  return federation;
}

void Federation::begin_chaos(double seconds) {
  std::vector<Victim> victims;
  for (auto* const nodes : {&coordinator_, &clients_})
    for (Node& node : *nodes) {
      victims.push_back({node.name, node.request, &node.process});
      victims.back().request.append = true;
    }
  SystemRandom random;
  std::uint64_t seed = 0;
  random.fill({reinterpret_cast<std::uint8_t*>(&seed), sizeof seed});
  chaos_ = std::make_unique<Chaos>(std::move(victims), mutex_, seconds, seed);
}

Result<std::string> Federation::end_chaos() {
  if (!chaos_) return std::string();
  COVEY_TRY_VOID(chaos_->stop());
  return chaos_->summary();
}

std::string Federation::casualty() {
  const std::lock_guard lock(mutex_);
  for (auto* const nodes : {&coordinator_, &clients_})
    for (Node& node : *nodes)
      if (const auto end = node.process.ended())
        return node.name + " ended with " + *end + "; see " + node.request.log_file;
  return "";
}

Result<void> Federation::check_coordinator() {
  const std::lock_guard lock(mutex_);
  for (Node& node : coordinator_)
    if (const auto end = node.process.ended())
      return unexpected(ErrorCode::kInternal, node.name + " ended with " + *end + "; see " + node.request.log_file);
  return {};
}

Result<void> Federation::start_coordinator(BlobStore& blobs) {
  COVEY_TRY(const auto ports, two_free_ports());
  COVEY_TRY_VOID(init_home({home_, "127.0.0.1", ports.first, ports.second, "operator"}));
  const std::string log = request_.folder + "/coordinator.log";
  const ChildProcess::Request start{{request_.programs.coordinator, "--home", home_, "--threads", "1",
                                     "--control-port", std::to_string(ports.first), "--bulk-port",
                                     std::to_string(ports.second)},
                                    log};
  COVEY_TRY(ChildProcess process, ChildProcess::start(start));
  coordinator_.push_back({"the coordinator", start, std::move(process)});
  COVEY_TRY(session_, Session::open(home_, blobs));
  return {};
}

Result<void> Federation::wait_for_coordinator() {
  SystemClock clock;
  const Instant deadline = clock.now() + kStartTimeout;
  for (;;) {
    const auto jobs = session_->jobs();
    if (jobs) return {};
    if (const std::string end = casualty(); !end.empty()) return unexpected(ErrorCode::kUnavailable, end);
    if (clock.now() > deadline)
      return unexpected(in_context("see " + request_.folder + "/coordinator.log", jobs.error()));
    if (!wait_or_interrupt(0.2)) return interrupted();
    COVEY_TRY_VOID(session_->reconnect());
  }
}

Result<void> Federation::start_client(const DemoClient& client) {
  const std::string folder = request_.folder + "/clients/" + client.name;
  COVEY_TRY_VOID(make_folders(folder));
  COVEY_TRY(const std::string token, make_token(*session_, {home_, Role::kClient, std::chrono::hours(1)}));
  COVEY_TRY_VOID(save_token(folder + "/join.token", token));
  const std::string log = request_.folder + "/client-" + client.name + ".log";
  ChildProcess::Request start{{request_.programs.client, "--home", folder, "--token",
                                     "@" + folder + "/join.token", "--name", client.name, "--data",
                                     client.folder, "--threads", "1"},
                                    log};
  if (request_.plain_updates) start.command.push_back("--plain-updates");
  COVEY_TRY(ChildProcess process, ChildProcess::start(start));
  clients_.push_back({"client " + client.name, start, std::move(process)});
  return {};
}

Result<void> Federation::wait_for_clients(Console& console) {
  SystemClock clock;
  const Instant deadline = clock.now() + kStartTimeout;
  for (;;) {
    COVEY_TRY(const auto nodes, session_->nodes());
    std::size_t connected = 0;
    for (const NodeSummary& node : nodes) connected += node.role == Role::kClient && node.connected ? 1 : 0;
    if (connected == clients_.size()) return {};
    console.progress(std::to_string(connected) + " of " + std::to_string(clients_.size()) +
                     " clients have joined");
    if (const std::string end = casualty(); !end.empty()) return unexpected(ErrorCode::kUnavailable, end);
    if (clock.now() > deadline)
      return unexpected(ErrorCode::kUnavailable,
                        "only " + std::to_string(connected) + " of " + std::to_string(clients_.size()) +
                            " clients joined within " + duration_text(seconds(kStartTimeout)) + "; see " +
                            request_.folder + "/*.log");
    if (!wait_or_interrupt(0.1)) return interrupted();
  }
}

}  // namespace covey::cli
