// The demonstration's real processes: a coordinator and its clients on this machine's loopback.
#pragma once
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "coordinator/cli/child_process.h"
#include "coordinator/cli/demo_chaos.h"
#include "coordinator/cli/demo_corpora.h"
#include "coordinator/cli/session.h"

namespace covey::cli {

// Programs beside this one. Errors: kNotFound, saying how to build them.
struct Programs {
  std::string folder;
  std::string coordinator, client;
};
Result<Programs> find_programs();

class Federation {
 public:
  struct Request {
    Programs programs;
    std::string folder;                 // home/, clients/NAME/ and *.log are made in it
    std::vector<DemoClient> clients;
    bool plain_updates = false;         // the sites allow them: the job is plain
  };
  // Makes keys, starts the coordinator on free ports, has every client enrol with a token of its own
  // and waits until all are connected. `blobs` outlives this. Errors: what went wrong, and the log
  // to read; kUnavailable when interrupted. Call it on the main thread (ChildProcess::start).
  static Result<std::unique_ptr<Federation>> start(const Request& request, BlobStore& blobs, Console& console);
  ~Federation();                        // ends all processes
  Federation(const Federation&) = delete;
  Federation& operator=(const Federation&) = delete;

  Session& session() { return *session_; }
  const std::string& home() const { return home_; }
  std::size_t size() const { return clients_.size(); }
  // The first that has ended although nobody asked it to; an empty text when all run.
  std::string casualty();
  // The job goes on without a client, but not without the coordinator.
  Result<void> check_coordinator();

  // From here on any process may be killed and comes back (demo_chaos.h). end_chaos() says how many were.
  void begin_chaos(double seconds);
  Result<std::string> end_chaos();

 private:
  struct Node {
    std::string name;
    ChildProcess::Request request;
    ChildProcess process;
  };
  explicit Federation(const Request& request);
  Result<void> start_coordinator(BlobStore& blobs);
  Result<void> wait_for_coordinator();
  Result<void> start_client(const DemoClient& client);
  Result<void> wait_for_clients(Console& console);

  Request request_;
  std::string home_;
  std::vector<Node> coordinator_;       // none or one
  std::vector<Node> clients_;
  std::unique_ptr<Session> session_;
  std::mutex mutex_;                    // guards the nodes while there is chaos
  std::unique_ptr<Chaos> chaos_;        // last: its thread ends first
};

// A TCP port of the loopback that nobody listens on; two calls while both sockets are open differ.
Result<std::pair<std::uint16_t, std::uint16_t>> two_free_ports();

}  // namespace covey::cli
