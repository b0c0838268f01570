#include "core/base/blob_store.h"

#include <algorithm>

namespace covey {
namespace {

class GatheringWriter final : public BlobWriter {
 public:
  explicit GatheringWriter(BlobStore& blobs) : blobs_(blobs) {}
  Result<void> append(ByteSpan piece) override {
    value_.insert(value_.end(), piece.begin(), piece.end());
    return {};
  }
  Result<void> read_back(std::uint64_t offset, std::span<std::uint8_t> out) override {
    COVEY_CHECK(offset <= value_.size() && out.size() <= value_.size() - offset);
    std::copy_n(value_.begin() + static_cast<std::ptrdiff_t>(offset), out.size(), out.begin());
    return {};
  }
  Result<BlobRef> finish() override { return blobs_.put(value_); }

 private:
  BlobStore& blobs_;
  Bytes value_;
};

}  // namespace

Result<std::unique_ptr<BlobWriter>> BlobStore::writer() {
  return std::unique_ptr<BlobWriter>(std::make_unique<GatheringWriter>(*this));
}

Result<void> BlobStore::read_into(const Digest& id, std::uint64_t offset, std::span<std::uint8_t> out) {
  COVEY_TRY(const Bytes part, read(id, offset, out.size()));
  COVEY_CHECK(part.size() == out.size());
  std::copy(part.begin(), part.end(), out.begin());
  return {};
}

}  // namespace covey
