// A whole federation on this machine: an initialised home, a coordinator, clients with their share
// of examples/tiny, an operator. Real processes, real files, loopback.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/base/blob_store.h"
#include "core/protocol/message.h"
#include "net/reactor.h"
#include "tests/core/base/temporary_folder.h"
#include "tests/system/processes.h"

namespace covey::system_test {

// Ports that nothing listened on a moment ago; each call gives others.
std::vector<std::uint16_t> free_ports(std::size_t count);

std::string read_text(const std::string& path);
void write_text(const std::string& path, const std::string& text);

struct JobText {
  std::uint32_t rounds = 3;
  std::uint32_t min_clients = 3;
  std::string name = "tiny";
  std::string train = "local_epochs = 2\nbatch_size = 8\nlearning_rate = 0.5\n";
  std::string round = "deadline_s = 60\nquorum = 1\n";
  std::string more = {};  // at the end: further tables; updates are plain unless there is a [privacy]
  std::uint64_t seed = 1;
};
std::string job_toml(const JobText& job);

// Asks the coordinator as the operator does, without a process for each question.
class Desk {
 public:
  explicit Desk(const std::string& home);
  // Errors of the coordinator come back as errors; kUnavailable when it does not answer.
  Result<OperatorAnswer> ask(OperatorVerb verb);

 private:
  std::unique_ptr<BlobStore> blobs_;
  CurveKey key_;
  std::unique_ptr<Caller> caller_;
  std::uint64_t next_request_ = 1;
};

class Federation {
 public:
  // `covey init`; `clients` shares of the data, each in its own folder.
  explicit Federation(std::size_t clients);

  const std::string& folder() const { return folder_.path(); }
  std::string home() const { return folder_ / "home"; }
  std::string data_of(std::size_t client) const;
  std::string home_of(std::size_t client) const;
  static std::string name_of(std::size_t client) { return "site" + std::to_string(client); }

  // `covey <arguments> --home ..`, to its end.
  Process& covey(std::vector<std::string> arguments, double seconds = 20);
  Launch coordinator_launch() const;
  Launch client_launch(std::size_t client) const;  // of an enrolled one, which gives plain updates too
  // Each waits until it is ready, at most 20 s; a test fails where it is not.
  Process& start_coordinator() { return start_coordinator(coordinator_launch()); }
  Process& start_coordinator(const Launch& launch);
  Process& start_client(std::size_t client) { return start_client(client, client_launch(client)); }
  Process& start_client(std::size_t client, const Launch& launch);
  void enrol_client(std::size_t client);     // with a fresh token, then as start_client
  // The coordinator and all clients, enrolled and joined.
  void start_all();

  Process& coordinator() { return *coordinator_; }
  Process& client(std::size_t client) { return *clients_.at(client); }
  Nursery& nursery() { return nursery_; }
  const std::vector<std::uint16_t>& ports() const { return ports_; }  // control, bulk

  std::string write_job(const JobText& job);
  // `covey run --detach`; the number of the job.
  JobId submit(const JobText& job);
  // Until the coordinator says that the job has ended. Its last event's name, or "" after `seconds`.
  std::string await_end(JobId job, double seconds = 40);
  bool until(const std::function<bool()>& done, double seconds = 20) { return nursery_.until(done, seconds); }

 private:
  TemporaryFolder folder_;
  std::vector<std::uint16_t> ports_;
  std::size_t client_count_;
  Nursery nursery_;
  Process* coordinator_ = nullptr;
  std::map<std::size_t, Process*> clients_;
};

}  // namespace covey::system_test
