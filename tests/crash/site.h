// A node of a scene as the router sees it: in this process, or in one that may be killed.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/protocol/machine.h"
#include "tests/crash/fault_switch.h"
#include "tests/crash/mutants.h"
#include "tests/crash/scene.h"

namespace covey::crash {

struct Emission {
  Link to;                 // session 0: whichever is live
  Message message;
};
struct BootReport {        // what a start found on the disk, before its first event
  std::vector<Row> rows;
  std::vector<Digest> blobs;   // after the sweep of orphans
  std::vector<Digest> needed;  // that its rows name
};

class Site {
 public:
  virtual ~Site() = default;
  virtual void start(Instant now) = 0;
  virtual void deliver(const Link& from, const Message& message, Instant now) = 0;
  virtual void advance(Instant now) = 0;
  virtual bool settle() = 0;               // until nothing is under way; false: it is dead
  virtual std::vector<Emission> take() = 0;
  virtual std::optional<Instant> next_due() const = 0;
  virtual bool halted() const = 0;
  virtual std::optional<BootReport> take_boot() { return std::nullopt; }
  virtual std::vector<Encoded> take_encoded() { return {}; }  // by a process
  virtual std::optional<std::string> defect() const { return std::nullopt; }  // it ended, and not by the switch
  // Stops it in good order and gives the rows it leaves.
  virtual std::vector<Row> stop() { return {}; }
};

// A machine with its store and blobs in memory and its work done at once.
struct LocalParts {
  std::unique_ptr<Machine> machine;
  std::shared_ptr<Store> store;      // shared, both: they outlive the machine's crashes
  std::shared_ptr<BlobStore> blobs;
  std::function<Result<WorkValue>(const Work& work, BlobStore& blobs)> work;
};
std::unique_ptr<Site> local_site(LocalParts parts);

// The real thing: RocksDB, blob files and the pooled executor in a process of its own.
struct ProcessParts {
  const Scene* scene = nullptr;
  std::optional<std::size_t> client;  // absent: the coordinator
  std::uint64_t seed = 1;             // the run's
  std::uint64_t start = 1;            // how often it has started
  std::string folder;
  Mutant mutant = Mutant::kNone;
  const FaultTable* faults = nullptr;
  std::string point;                  // to die at
  std::uint64_t nth = 0;              // 0: it lives
};
std::unique_ptr<Site> process_site(ProcessParts parts);

// In the process: never returns.
class Channel;
[[noreturn]] void run_process(const ProcessParts& parts, Channel& channel);

// ---- packets
enum class Packet : std::uint8_t { kStart = 1, kDeliver, kAdvance, kStop, kBooted, kEncoded, kFrame, kIdle, kRows, kFailed };

}  // namespace covey::crash
