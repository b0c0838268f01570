// A node of the simulated world, as world.cpp and world_network.cpp see it.
#pragma once
#include "sim/world.h"

namespace covey {

inline constexpr std::size_t kCoordinator = 0;

struct World::RunningWork {
  std::unique_ptr<StagedBlobs> blobs;
  std::optional<Work> watched;  // what the checker wants to see again at its end
  std::future<Result<WorkValue>> result;
  bool cancelled = false;
};

struct World::Node {
  Node(std::size_t node_index, NodeParts node_parts, BlobPool& pool)
      : index(node_index), parts(std::move(node_parts)), blobs(pool) {}

  std::size_t index;
  NodeParts parts;
  SimStore store;   // the disk: survives a crash
  SimBlobs blobs;
  Duration wall{};  // how far the machine's wall clock is off
  // Gone with the process:
  std::unique_ptr<Machine> machine;
  std::unique_ptr<BlobTransfer> transfer;
  Duration clock{};                                 // `wall` when it started: SystemClock keeps to that
  std::uint64_t start = 0;                          // how often it has started; the session number
  std::map<std::string, std::uint64_t> timers;      // name -> sequence of its latest setting
  std::map<Ticket, RunningWork> running;
  std::optional<Instant> transfer_armed;
  Instant link_free;                                // when its link has sent what it was given
  Instant disk_free;                                // when its disk has synced what it was given
  std::uint64_t writes = 0;                         // asked for, over all starts
  bool halted = false;

  bool up() const { return machine != nullptr; }
};

}  // namespace covey
