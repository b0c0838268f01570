#include "coordinator/blob_keeper.h"

namespace covey {

BlobKeeper::BlobKeeper(Outbox& out) : out_(out) {
  out_.on_erase([this](const Digest& blob) { return needed(blob); });
}

bool BlobKeeper::needed(const Digest& blob) {
  if (held(blob)) return true;
  if (makers_.empty()) return false;
  waiting_[blob].insert(makers_.begin(), makers_.end());
  return true;
}

void BlobKeeper::made(JobId job) {
  if (makers_.erase(job) == 0) return;
  for (auto at = waiting_.begin(); at != waiting_.end();) {
    at->second.erase(job);
    if (!at->second.empty()) {
      ++at;
      continue;
    }
    const Digest blob = at->first;
    at = waiting_.erase(at);
    if (!held(blob)) out_.after(EraseBlob{blob});
  }
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
