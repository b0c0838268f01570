#include <algorithm>

#include "net/codec_families.h"

namespace covey::codec {

void write(schema::ChunkListWant::Builder to, const ChunkListWant& message) {
  write_blob(to.initBlob(), message.blob);
  to.setPage(message.page);
}

ChunkListWant read(const Fields& fields, schema::ChunkListWant::Reader from) {
  ChunkListWant message;
  message.blob = fields.blob("blob", from.getBlob());
  const std::size_t chunks = chunk_count(message.blob.size);
  const std::size_t pages =
      std::max<std::size_t>(1, (chunks + kChunkHashesPerPage - 1) / kChunkHashesPerPage);
  message.page = fields.within("page", from.getPage(), 0, static_cast<std::uint32_t>(pages - 1));
  return message;
}

void write(schema::ChunkList::Builder to, const ChunkList& message) {
  COVEY_CHECK(message.hashes.size() <= kChunkHashesPerPage);
  to.setBlob(wire_data(message.blob.span()));
  to.setPage(message.page);
  auto out = to.initHashes(static_cast<unsigned>(message.hashes.size() * Digest::kSize));
  auto place = out.begin();
  for (const Digest& hash : message.hashes) place = std::copy(hash.bytes.begin(), hash.bytes.end(), place);
}

ChunkList read(const Fields& fields, schema::ChunkList::Reader from) {
  ChunkList message;
  message.blob = fields.fixed<Digest>("blob", from.getBlob());
  message.page = fields.within("page", from.getPage(), 0, kBlobPagesMax - 1);
  const ByteSpan hashes = span_of(from.getHashes());
  const std::size_t count = hashes.size() / Digest::kSize;
  if (hashes.size() % Digest::kSize != 0 || count > kChunkHashesPerPage)
    fields.refuse("hashes", std::to_string(hashes.size()) + " bytes",
                  "must be at most " + std::to_string(kChunkHashesPerPage) + " hashes of 32 bytes");
  if (fields.refused()) return message;
  message.hashes.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    const ByteSpan hash = hashes.subspan(i * Digest::kSize, Digest::kSize);
    std::copy(hash.begin(), hash.end(), message.hashes[i].bytes.begin());
  }
  return message;
}

void write(schema::ChunkWant::Builder to, const ChunkWant& message) {
  COVEY_CHECK(!message.indices.empty() && message.indices.size() <= kChunkCreditsMax);
  to.setBlob(wire_data(message.blob.span()));
  auto indices = to.initIndices(static_cast<unsigned>(message.indices.size()));
  for (std::size_t i = 0; i < message.indices.size(); ++i)
    indices.set(static_cast<unsigned>(i), message.indices[i]);
}

ChunkWant read(const Fields& fields, schema::ChunkWant::Reader from) {
  ChunkWant message;
  message.blob = fields.fixed<Digest>("blob", from.getBlob());
  const auto indices = from.getIndices();
  fields.within("indices", indices.size(), 1, kChunkCreditsMax);
  if (fields.refused()) return message;
  for (const std::uint32_t index : indices)
    message.indices.push_back(
        fields.within("indices", index, 0, static_cast<std::uint32_t>(chunk_count(kBlobBytesMax) - 1)));
  return message;
}

void write(schema::Chunk::Builder to, const Chunk& message) {
  COVEY_CHECK(!message.bytes.empty() && message.bytes.size() <= kChunkBytes);
  to.setBlob(wire_data(message.blob.span()));
  to.setIndex(message.index);
  to.setBytes(wire_data(message.bytes));
}

Chunk read(const Fields& fields, schema::Chunk::Reader from) {
  Chunk message;
  message.blob = fields.fixed<Digest>("blob", from.getBlob());
  message.index =
      fields.within("index", from.getIndex(), 0, static_cast<std::uint32_t>(chunk_count(kBlobBytesMax) - 1));
  const ByteSpan bytes = span_of(from.getBytes());
  fields.within("bytes.size", bytes.size(), 1, kChunkBytes);
  if (!fields.refused()) message.bytes.assign(bytes.begin(), bytes.end());
  return message;
}

void write(schema::BlobRefused::Builder to, const BlobRefused& message) {
  to.setBlob(wire_data(message.blob.span()));
  write(to.initError(), message.error);
}

BlobRefused read(const Fields& fields, schema::BlobRefused::Reader from) {
  return {fields.fixed<Digest>("blob", from.getBlob()), fields.error("error", from.getError())};
}

}  // namespace covey::codec
