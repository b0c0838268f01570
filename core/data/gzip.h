// Bytes that a plain or gzip-compressed file holds, taken piece by piece so that a caller decides
// how many it wants: a small file cannot fill the memory.
#pragma once
#include <memory>

#include "core/base/bytes.h"
#include "core/base/result.h"

namespace covey {

class InflatingReader {
 public:
  // `file` is gzip (RFC 1952) if it starts with that format's magic, and plain otherwise.
  explicit InflatingReader(Bytes file);
  ~InflatingReader();
  InflatingReader(const InflatingReader&) = delete;
  InflatingReader& operator=(const InflatingReader&) = delete;

  // The most that the file can hold once inflated; DEFLATE expands at most 1032 times.
  std::uint64_t bytes_max() const;
  // Exactly `count` bytes, the next ones. Errors: kInvalidData if it ends before or is damaged.
  Result<Bytes> take(std::size_t count);
  // That nothing follows; for gzip also that its checksum is right. Errors: kInvalidData.
  Result<void> finish();

 private:
  struct Stream;
  Result<std::size_t> inflate_into(std::span<std::uint8_t> out);
  Bytes file_;
  std::size_t position_ = 0;      // plain only
  std::unique_ptr<Stream> gzip_;  // null for a plain file
};

}  // namespace covey
