// A coordinator's home with any number of enrolled nodes, and the real service that reads it. The nodes'
// keys are made from their numbers, so that every process of a measurement can be any of them.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench/load/child.h"
#include "core/protocol/certificate.h"
#include "core/protocol/message.h"
#include "net/reactor.h"
#include "tests/core/base/temporary_folder.h"

namespace covey::load {

CurveKey key_of_node(std::size_t number);
std::string name_of_node(std::size_t number);
Capability capability_of_nodes();

struct ServeOptions {
  std::vector<std::string> arguments = {};
  std::uint64_t open_files_max = 0;
};

class Estate {
 public:
  explicit Estate(std::size_t nodes);

  const CoordinatorAddress& address() const { return address_; }
  std::string home() const { return folder_ / "home"; }
  std::string folder() const { return folder_.path(); }
  std::string log() const;  // of every life of the service

  // Starts the service and waits until it says so; throws where it does not.
  void serve(const ServeOptions& options = {});
  Child& service() { return *service_; }
  // Asks as the operator. Throw where nothing is answered.
  OperatorAnswer ask(OperatorVerb verb);
  JobId submit(const std::string& toml);

 private:
  void enrol(std::size_t nodes);
  TemporaryFolder folder_;
  CoordinatorAddress address_;
  std::optional<Child> service_;
};

}  // namespace covey::load
