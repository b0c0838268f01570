// Counts who needs a blob. Blobs are named by content, so that two jobs may share a model, and a
// hostile update may equal one: a blob is erased only when nobody needs it, and withdrawn only when
// nobody shows it.
#pragma once
#include <map>

#include "coordinator/outbox.h"

namespace covey {

class BlobKeeper {
 public:
  explicit BlobKeeper(Outbox& out);  // `out` outlives this

  void hold(const Digest& blob) { ++holders_[blob]; }
  void drop(const Digest& blob);     // the last one erases, once everything so far is durable
  bool held(const Digest& blob) const { return holders_.contains(blob); }

  void show(const Digest& blob);     // the first one publishes to any joined peer
  void hide(const Digest& blob);     // the last one withdraws

 private:
  Outbox& out_;
  std::map<Digest, std::uint64_t> holders_;
  std::map<Digest, std::uint64_t> shown_;
};

}  // namespace covey
