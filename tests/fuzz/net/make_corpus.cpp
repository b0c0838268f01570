// Writes the seeds of both fuzzers, made by the encoder: one file a message, one file a conversation.
// usage: net_make_corpus FOLDER (then commit FOLDER/decode_frame and FOLDER/blob_transfer)
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "core/store/blobs.h"
#include "net/codec.h"
#include "tests/net/message_samples.h"

using namespace covey;

namespace {

void save(const std::filesystem::path& path, const Bytes& bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

void add_frame(Bytes& out, const Message& message) {
  const Bytes frame = encode_frame(message);
  out.push_back(0);
  out.push_back(static_cast<std::uint8_t>(frame.size()));
  out.push_back(static_cast<std::uint8_t>(frame.size() >> 8));
  out.insert(out.end(), frame.begin(), frame.end());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
    return 2;
  }
  const std::filesystem::path folder(argv[1]);
  std::filesystem::create_directories(folder / "decode_frame");
  std::filesystem::create_directories(folder / "blob_transfer");
  std::size_t number = 0;
  for (const Message& message : message_samples())
    save(folder / "decode_frame" / (std::to_string(number++) + "_" + name_of(message)),
         encode_frame(message));

  MemoryBlobs blobs;  // the values that the fuzzer offers and wants
  const BlobRef offered = blobs.put(Bytes(100, 3)).value();
  const BlobRef wanted = blobs.put(Bytes(3 * kChunkBytes + 1, 7)).value();
  Bytes asked;
  add_frame(asked, ChunkListWant{offered, 0});
  add_frame(asked, ChunkWant{offered.id, {0, 1}});
  save(folder / "blob_transfer" / "asked", asked);
  Bytes answered;
  add_frame(answered, ChunkList{wanted.id, 0, blobs.chunk_hashes(wanted.id).value()});
  add_frame(answered, Chunk{wanted.id, 3, Bytes(1, 7)});
  add_frame(answered, Chunk{wanted.id, 2, Bytes(1, 8)});
  answered.push_back(200);
  add_frame(answered, BlobRefused{wanted.id, {ErrorCode::kNotFound, "gone"}});
  save(folder / "blob_transfer" / "answered", answered);
  return 0;
}
