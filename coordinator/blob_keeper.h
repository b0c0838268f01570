// Counts who needs a blob. Blobs are named by content, so that two jobs may share a model, and a
// hostile update may equal one: a blob is erased only when nobody needs it, and withdrawn only when
// nobody shows it.
#pragma once
#include <map>
#include <set>

#include "coordinator/outbox.h"

namespace covey {

class BlobKeeper {
 public:
  explicit BlobKeeper(Outbox& out);  // `out` outlives this

  void hold(const Digest& blob) { ++holders_[blob]; }
  void drop(const Digest& blob);     // the last one erases, once everything so far is durable
  bool held(const Digest& blob) const { return holders_.contains(blob); }

  // While a job makes a model, the blobs of that model are nobody's yet, and may be there already
  // under the name of one that is just let go: nothing is erased before it holds what it made.
  void making(JobId job) { makers_.insert(job); }
  void made(JobId job);              // it holds it, or it failed; again: nothing

  void show(const Digest& blob);     // the first one publishes to any joined peer
  void hide(const Digest& blob);     // the last one withdraws

 private:
  bool needed(const Digest& blob);

  Outbox& out_;
  std::set<JobId> makers_;
  std::map<Digest, std::set<JobId>> waiting_;  // to be erased when these, who were making then, have made
  std::map<Digest, std::uint64_t> holders_;
  std::map<Digest, std::uint64_t> shown_;
};

}  // namespace covey
