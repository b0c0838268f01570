// One coming and going: a client that joins with an instance of its own, beats, moves part of something,
// and leaves, vanishes or falls silent. Scripted by a seed over the client's own transport.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "bench/load/child.h"
#include "core/base/log.h"
#include "core/base/random.h"
#include "core/protocol/message.h"
#include "core/store/blobs.h"
#include "net/dial_transport.h"

namespace covey::load {

struct VisitCounts {  // shared by processes
  std::atomic<std::uint64_t> joined, not_joined, unanswered;
  std::atomic<std::uint64_t> left, vanished, silent;
  std::atomic<std::uint64_t> offered, downloads_cut, uploads_cut, uploads_whole;
};

// What the visitors of one process share.
class Town {
 public:
  // `parameters`: of the model that updates are made for.
  Town(const CoordinatorAddress& address, std::uint64_t parameters, VisitCounts& counts);

  const CoordinatorAddress address;
  SystemClock clock;
  NullLog log;
  ZmqContext context;
  VisitCounts& counts;
  MemoryBlobs blobs;             // the updates
  std::vector<BlobRef> updates;
  std::optional<BlobRef> model;  // the newest manifest that an offer named
};

class Visitor {
 public:
  Visitor(Town& town, std::size_t node, std::uint64_t seed);
  // Hears, answers, looks at the time. False: it has gone.
  bool turn(double now);
  std::size_t node() const { return node_; }
  bool silent() const { return stage_ == Stage::kSilent; }
  void vanish() { transport_.reset(); }

 private:
  enum class Stage { kJoining, kBeating, kManifest, kShard, kGiving, kSilent, kGone };
  void hear(const Message& message);
  void beat();
  void contribute(const RoundOffer& offer);
  void want(Stage stage, const BlobRef& blob);
  void ask(double now);
  void take(const Chunk& chunk);
  void serve(const ChunkWant& want);
  void list(const ChunkListWant& want);
  void go();
  void enter(Stage stage, double patience_seconds);

  Town& town_;
  std::size_t node_;
  Random random_;
  CurveKey key_;
  Link link_;
  std::uint64_t instance_;
  std::unique_ptr<DialTransport> transport_;
  Stage stage_ = Stage::kJoining;
  double until_ = 0;           // when the stage has lasted long enough
  BlobRef wanted_;
  bool listed_ = false;        // the list of its chunks is here
  double ask_at_ = 0;          // for that, or for the chunks, again
  std::size_t chunks_left_ = 0;  // that it will give before it goes
};

}  // namespace covey::load
