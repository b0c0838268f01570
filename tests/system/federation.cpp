#include "tests/system/federation.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include <atomic>
#include <fstream>
#include <iterator>

#include "core/service/identity.h"
#include "core/store/blobs.h"
#include "coordinator/service/home.h"

namespace covey::system_test {
namespace {

constexpr double kReadySeconds = 20;

const char* const kColumns = R"(
[[data.columns]]
name = "x"
kind = "numeric"
min = -1
max = 1
[[data.columns]]
name = "y"
kind = "numeric"
min = -1
max = 1
[[data.columns]]
name = "above"
kind = "label"
values = ["no", "yes"]
)";

NodeKeys operator_keys(const std::string& home) {
  auto keys = load_keys(operator_folder(home));
  COVEY_CHECK(keys.has_value());
  return std::move(*keys);
}

}  // namespace

// Below the range from which the kernel gives ports to outgoing connections: a coordinator that was
// killed must find its port free again.
std::vector<std::uint16_t> free_ports(std::size_t count) {
  constexpr unsigned kFirst = 10000, kCount = 22000;
  static std::atomic<unsigned> next = static_cast<unsigned>(::getpid()) * 97;  // apart from other test programs
  std::vector<std::uint16_t> ports;
  for (unsigned tried = 0; ports.size() < count; ++tried) {
    COVEY_CHECK(tried < kCount);
    const auto port = static_cast<std::uint16_t>(kFirst + next++ % kCount);
    const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    COVEY_CHECK(socket >= 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) ports.push_back(port);
    ::close(socket);
  }
  return ports;
}

std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void write_text(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  COVEY_CHECK(file.good());
}

std::string job_toml(const JobText& job) {
  const bool says = job.more.find("[privacy]") != std::string::npos;
  return "name = \"" + job.name + "\"\nrounds = " + std::to_string(job.rounds) + "\nseed = " + std::to_string(job.seed) +
         "\n[model]\nfamily = \"logistic\"\n[data]\nformat = \"csv\"\nholdout = 0.2\n" + kColumns + "[train]\n" + job.train +
         "[selection]\nmin_clients = " + std::to_string(job.min_clients) + "\n[round]\n" + job.round + job.more +
         (says ? "" : "[privacy]\nsecure_aggregation = false\n");
}

// ---- Desk

Desk::Desk(const std::string& home) : blobs_(std::make_unique<MemoryBlobs>()), key_(operator_keys(home).curve) {
  const auto membership = load_membership(operator_folder(home));
  COVEY_CHECK(membership.has_value() && membership->has_value());
  auto caller = make_caller({(*membership)->coordinator}, key_, *blobs_);
  COVEY_CHECK(caller.has_value());
  caller_ = std::move(*caller);
}

Result<OperatorAnswer> Desk::ask(OperatorVerb verb) {
  COVEY_TRY(const Message reply, caller_->call(OperatorRequest{next_request_++, std::move(verb)}, std::chrono::seconds(20)));
  const auto* answer = std::get_if<OperatorReply>(&reply);
  COVEY_CHECK(answer != nullptr);
  if (const auto* error = std::get_if<Error>(&answer->answer)) return unexpected(*error);
  return answer->answer;
}

// ---- Federation

Federation::Federation(std::size_t clients) : ports_(free_ports(2)), client_count_(clients) {
  const Process& init = covey({"init", "--control-port", std::to_string(ports_[0]), "--bulk-port", std::to_string(ports_[1])});
  INFO(init.errors());
  REQUIRE(init.code() == 0);
  std::ifstream points(std::string(COVEY_SOURCE_DIR) + "/examples/tiny/points.csv");
  std::string head;
  REQUIRE(std::getline(points, head));
  std::vector<std::string> parts(clients, head + "\n");
  std::string line;
  for (std::size_t i = 0; std::getline(points, line); ++i) parts[i % clients] += line + "\n";
  for (std::size_t i = 0; i < clients; ++i) {
    std::filesystem::create_directory(data_of(i));
    write_text(data_of(i) + "/points.csv", parts[i]);
  }
}

std::string Federation::data_of(std::size_t client) const { return folder_ / ("data" + std::to_string(client)); }
std::string Federation::home_of(std::size_t client) const { return folder_ / name_of(client); }

Process& Federation::covey(std::vector<std::string> arguments, double seconds) {
  arguments.insert(arguments.end(), {"--home", home()});
  return nursery_.run({"covey", std::move(arguments)}, seconds);
}

Launch Federation::coordinator_launch() const {
  return {"covey-coordinator", {"--home", home(), "--threads", "1", "--json"}};
}

Launch Federation::client_launch(std::size_t client) const {
  return {"covey-client", {"--home", home_of(client), "--data", data_of(client), "--threads", "1", "--json", "--plain-updates"}};
}

Process& Federation::start_coordinator(const Launch& launch) {
  Process& process = nursery_.start(launch);
  coordinator_ = &process;
  // The second line comes when its start is durable and its members are admitted.
  nursery_.until([&] { return process.has("machine_started") || process.ended(); }, kReadySeconds);
  INFO(process.errors());
  REQUIRE(process.has("machine_started"));
  REQUIRE_FALSE(process.ended());
  return process;
}

Process& Federation::start_client(std::size_t client, const Launch& launch) {
  Process& process = nursery_.start(launch);
  clients_[client] = &process;
  nursery_.until([&] { return process.has("client_joined") || process.ended(); }, kReadySeconds);
  INFO(process.errors());
  REQUIRE(process.has("client_joined"));
  return process;
}

void Federation::enrol_client(std::size_t client) {
  const std::string token = folder_ / (name_of(client) + ".token");
  const Process& made = covey({"token", "-o", token});
  INFO(made.errors());
  REQUIRE(made.code() == 0);
  Launch launch = client_launch(client);
  launch.arguments.insert(launch.arguments.end(), {"--token", "@" + token, "--name", name_of(client)});
  Process& process = nursery_.start(launch);
  clients_[client] = &process;
}

void Federation::start_all() {
  start_coordinator();
  for (std::size_t i = 0; i < client_count_; ++i) enrol_client(i);
  for (std::size_t i = 0; i < client_count_; ++i) {
    Process& process = client(i);
    nursery_.until([&] { return process.has("client_joined") || process.ended(); }, kReadySeconds);
    INFO(process.errors());
    REQUIRE(process.has("client_joined"));
  }
}

std::string Federation::write_job(const JobText& job) {
  const std::string path = folder_ / (job.name + ".toml");
  write_text(path, job_toml(job));
  return path;
}

JobId Federation::submit(const JobText& job) {
  const Process& run = covey({"run", "--detach", "--json", write_job(job)});
  INFO(run.errors());
  REQUIRE(run.code() == 0);
  return nlohmann::json::parse(run.out()).at("job").get<JobId>();
}

std::string Federation::await_end(JobId job, double seconds) {
  std::string end;
  nursery_.until(
      [&] {
        for (const char* event : {"job_finished", "job_failed", "job_stopped"})
          for (const LogLine& line : coordinator_->lines())
            if (line.event == event && line.number("job") == job) end = event;
        return !end.empty() || coordinator_->ended();
      },
      seconds);
  return end;
}

}  // namespace covey::system_test
