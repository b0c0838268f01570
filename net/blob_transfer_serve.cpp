// The sending half of BlobTransfer: keeps nothing about who asked for what.
#include <algorithm>
#include <string>

#include "core/base/thrown.h"
#include "net/blob_transfer.h"

namespace covey {
namespace {

// The same words whether it is missing or meant for others: strangers learn nothing.
BlobTransfer::Outgoing not_offered(PeerKey to, const Digest& blob) {
  return {to,
          BlobRefused{blob, {ErrorCode::kNotFound, "blob " + short_hex(blob) + " is not offered to you"}}};
}

// The peer is not told why, our own log is.
void refuse_unreadable(PeerKey to, const Digest& blob, const Error& error, BlobTransfer::Step& step) {
  step.outgoing.push_back(
      {to, BlobRefused{blob, {ErrorCode::kInternal, "blob " + short_hex(blob) + " cannot be read by its sender"}}});
  step.unreadable.emplace_back(blob, error);
}

}  // namespace

void BlobTransfer::publish(const PublishBlob& command) {
  Published& published = published_[command.blob];
  if (command.to)
    published.peers.insert(*command.to);
  else
    published.anyone = true;
}

void BlobTransfer::withdraw(const Digest& blob) { published_.erase(blob); }

void BlobTransfer::erased(const Digest& blob) {
  withdraw(blob);
  std::erase(abandoned_, blob);
}

BlobTransfer::Published* BlobTransfer::offered(const Digest& blob, PeerKey to) {
  const auto place = published_.find(blob);
  if (place == published_.end()) return nullptr;
  Published& published = place->second;
  return published.anyone || published.peers.count(to) > 0 ? &published : nullptr;
}

void BlobTransfer::serve(PeerKey from, const ChunkListWant& message, Step& step) {
  const Digest& blob = message.blob.id;
  if (offered(blob, from) == nullptr) return step.outgoing.push_back(not_offered(from, blob));
  const Result<std::vector<Digest>> hashes = caught([&] { return blobs_.chunk_hashes(blob); });
  if (!hashes) return refuse_unreadable(from, blob, hashes.error(), step);
  const std::size_t begin = std::min(message.page * kChunkHashesPerPage, hashes->size());
  const std::size_t end = std::min(begin + kChunkHashesPerPage, hashes->size());
  const auto at = [&](std::size_t i) { return hashes->begin() + static_cast<std::ptrdiff_t>(i); };
  step.outgoing.push_back({from, ChunkList{blob, message.page, {at(begin), at(end)}}});
}

void BlobTransfer::serve(PeerKey from, const ChunkWant& message, Step& step) {
  Published* published = offered(message.blob, from);
  if (published == nullptr) return step.outgoing.push_back(not_offered(from, message.blob));
  if (!published->size) {
    const Result<std::uint64_t> size = caught([&] { return blobs_.size(message.blob); });
    if (!size) return refuse_unreadable(from, message.blob, size.error(), step);
    published->size = *size;
  }
  for (const std::uint32_t index : message.indices) {
    const std::uint64_t offset = std::uint64_t{index} * kChunkBytes;
    if (offset >= *published->size) continue;  // asked for what no chunk list names
    const auto length =
        static_cast<std::size_t>(std::min<std::uint64_t>(kChunkBytes, *published->size - offset));
    Result<Bytes> bytes = caught([&] { return blobs_.read(message.blob, offset, length); });
    if (!bytes) return refuse_unreadable(from, message.blob, bytes.error(), step);
    step.outgoing.push_back({from, Chunk{message.blob, index, *std::move(bytes)}});
  }
}

}  // namespace covey
