#include "coordinator/blob_keeper.h"

#include <utility>

namespace covey {

BlobKeeper::BlobKeeper(Outbox& out) : out_(out) {
  out_.on_erase([this](const Digest& blob) { return needed(blob); });
}

bool BlobKeeper::needed(const Digest& blob) {
  if (held(blob)) return true;
  if (makers_.empty()) return false;
  waiting_.insert(blob);
  return true;
}

void BlobKeeper::made(JobId job) {
  makers_.erase(job);
  if (!makers_.empty()) return;
  for (const Digest& blob : std::exchange(waiting_, {}))
    if (!held(blob)) out_.after(EraseBlob{blob});
}

void BlobKeeper::drop(const Digest& blob) {
  const auto at = holders_.find(blob);
  COVEY_CHECK(at != holders_.end());
  if (--at->second != 0) return;
  holders_.erase(at);
  out_.after(EraseBlob{blob});
}

void BlobKeeper::show(const Digest& blob) {
  if (++shown_[blob] == 1) out_.after(PublishBlob{blob, std::nullopt});
}

void BlobKeeper::hide(const Digest& blob) {
  const auto at = shown_.find(blob);
  COVEY_CHECK(at != shown_.end());
  if (--at->second != 0) return;
  shown_.erase(at);
  out_.after(WithdrawBlob{blob});
}

}  // namespace covey
