#include "client/model_cache.h"

#include "core/base/wire.h"

namespace covey::client {
namespace {

constexpr std::uint8_t kVersion = 1;

Bytes encode_digests(const std::set<Digest>& digests) {
  ByteWriter writer;
  writer.u8(kVersion).u32(static_cast<std::uint32_t>(digests.size()));
  for (const Digest& digest : digests) writer.fixed(digest);
  return writer.take();
}

}  // namespace

Result<void> ModelCache::load(const Row& row) {
  ByteReader reader(row.value);
  if (const std::uint8_t version = reader.u8(); version != kVersion)
    return unexpected(ErrorCode::kCorrupted, "row " + row.key + " has version " + std::to_string(version) +
                                                 ", this program knows " + std::to_string(kVersion));
  const std::size_t count = reader.count(Digest::kSize);
  for (std::size_t i = 0; i < count; ++i) saved_.insert(reader.fixed<Digest>());
  COVEY_TRY_VOID(reader.finish("row " + row.key));
  held_ = saved_;
  return {};
}

void ModelCache::keep_only(std::set<Digest> wanted) {
  // Erased before the row changes: a crash between leaves a row that names too much, not a blob
  // that nothing names.
  for (const Digest& blob : held_)
    if (!wanted.contains(blob)) out_.add(EraseBlob{blob});
  held_ = std::move(wanted);
  if (held_ == saved_) return;
  saved_ = held_;
  Batch batch;
  batch.put(std::string(kRow), encode_digests(saved_));
  out_.add(Persist{out_.ticket(), std::move(batch)});
}

}  // namespace covey::client
