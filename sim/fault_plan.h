// What goes wrong in a simulated world, and when it stops going wrong.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/random.h"
#include "core/base/result.h"
#include "core/base/time.h"

namespace covey {

struct NetworkModel {
  Duration delay = std::chrono::milliseconds(20);   // one way, least
  Duration jitter = std::chrono::milliseconds(30);  // uniform on top; reorders
  double loss = 0;                                  // probability per frame, [0, 0.9]
  double duplicate = 0;
  double bytes_per_second = 12.5e6;                 // of one node's link, both ways
  bool operator==(const NetworkModel&) const = default;
};

// Nodes are numbered: 0 is the coordinator, 1.. are the clients. Times count from the world's start.
struct Crash {
  std::size_t node = 0;
  Duration at{};
  Duration down{};            // then it starts again from its disk
  bool operator==(const Crash&) const = default;
};

// The process dies as its `nth` durable write (from 1, over all its starts) has been asked for but
// not confirmed: where an acknowledgement that came too early shows.
struct WriteCrash {
  std::size_t node = 0;
  std::uint64_t nth = 0;
  Duration down{};
  bool operator==(const WriteCrash&) const = default;
};

// Nodes in `cut` and the rest do not hear each other.
struct Partition {
  Duration from{};
  Duration to{};
  std::vector<std::size_t> cut;
  bool operator==(const Partition&) const = default;
};

// No blob can be written, and where `rows` do not fit either, no row. The process that needs one ends, as
// in production (core/service/disk_guard.h), and its supervisor starts it again and again.
struct DiskFull {
  std::size_t node = 0;
  Duration from{};
  Duration to{};
  bool rows = true;
  bool operator==(const DiskFull&) const = default;
};

// The machine's wall clock is set to another time. A process that runs does not see it (core/base/clock.h);
// its next start does.
struct ClockJump {
  std::size_t node = 0;
  Duration at{};
  Duration by{};
  bool operator==(const ClockJump&) const = default;
};

struct SlowPeer {
  std::size_t node = 0;       // a client
  double bytes_per_second = 0;
  double work = 1;            // times longer
  bool operator==(const SlowPeer&) const = default;
};

// Each frame from or to the node is held back with the given probability, then delivered after all.
struct LateFrames {
  std::size_t node = 0;
  Duration from{};
  Duration to{};
  Duration hold{};
  double share = 0;
  bool operator==(const LateFrames&) const = default;
};

enum class Lie : std::uint8_t {
  kNotFinite,      // an update with NaN and infinities
  kWrongSize,
  kHugeNorm,       // beyond update.clip_norm; where the job has none: not finite
  kWrongModel,     // claims to have started from another model
  kHugeExamples,
  kNoExamples,
  kWrongRound,     // updates for rounds, attempts and jobs that nobody offered it
  kForeignBlob,    // names a blob that is not its update
  kNeverServes,    // says again and again that its update is ready, each time another, and serves none
  kWrongChunks,    // serves chunks that do not have their hashes
  kFlood,          // joins, leaves, answers and operator's orders, as fast as it may
  kForged,         // messages that only a coordinator sends, and wants of blobs that are not its own
  // Under secure aggregation; in a plain job these claim another model.
  kWrongDeal,      // commits to another mask than it shares and masks with
  kWrongShares,    // reveals wrong shares of all others' secrets
  kNoise,          // masks with another mask than it shares: the sum is noise, and nothing says whose
};
inline constexpr std::size_t kLies = 15;
const char* name_of(Lie lie);  // "not_finite"
Result<Lie> lie_from(std::string_view name);

// A client whose key is good but whose word is not. None of its plain updates may count; of masked ones nobody can tell.
struct Liar {
  std::size_t node = 0;
  Lie lie = Lie::kNotFinite;
  bool operator==(const Liar&) const = default;
};

enum class Act : std::uint8_t {
  kSubmit,         // the same job once more; `target` does not count
  kStop,           // job number `target`
  kRevoke,         // client number `target`
  kEnrol,          // client number `target`, which is no member before
  kSubmitOther,    // the same job the other way: plain where it is under secure aggregation, and under it where it is plain
};
const char* name_of(Act act);
Result<Act> act_from(std::string_view name);

struct OperatorAct {
  Act act = Act::kSubmit;
  Duration at{};
  std::uint32_t target = 0;
  bool operator==(const OperatorAct&) const = default;
};

struct FaultPlan {
  NetworkModel network;
  std::vector<Crash> crashes;
  std::vector<WriteCrash> write_crashes;
  std::vector<Partition> partitions;
  std::vector<DiskFull> full_disks;
  std::vector<ClockJump> clock_jumps;
  std::vector<SlowPeer> slow_peers;
  std::vector<LateFrames> late_frames;
  std::vector<Liar> liars;
  std::vector<OperatorAct> acts;
  Duration quiet_after = Duration::max();  // no loss, no duplicates and no floods from here on
  bool operator==(const FaultPlan&) const = default;

  // Visits each list of faults, so that a new kind is drawn, shrunk and stored by one line here.
  template <class Plan, class Visit>
  static void each_list(Plan& plan, Visit visit) {
    visit(plan.crashes);
    visit(plan.write_crashes);
    visit(plan.partitions);
    visit(plan.full_disks);
    visit(plan.clock_jumps);
    visit(plan.slow_peers);
    visit(plan.late_frames);
    visit(plan.liars);
    visit(plan.acts);
  }
  std::size_t size() const;    // faults in all lists, and one each for loss and duplicates
  Duration last() const;       // when the last timed fault has passed
};

// Errors: kInvalidArgument naming a fault of no node, or a value out of its bounds.
Result<void> validate(const FaultPlan& plan, std::size_t clients);

// A random plan for `clients` clients whose faults all stop after `horizon`.
FaultPlan random_faults(std::size_t clients, Duration horizon, Random random);
// In half of the plans one or two jobs of the other kind (Act::kSubmitOther) run beside those that are there.
void mix_jobs(FaultPlan& plan, Duration horizon, Random random);

}  // namespace covey
