// Documents as tokens in a file, one record each, checked by CRC-32: a damaged record is found, counted
// and passed over, and what follows it is found again. A file that was cut off, or put together of others,
// is refused.
//
// All numbers little-endian. Header, 48 bytes: "COVEYTOK", u32 version 2, u32 vocabulary, u32 bytes of a
// token (2 where the vocabulary is at most 65,536, else 4), u32 CRC-32 of these 20 bytes; u64 bytes of the
// file, u64 records, u32 CRC-32 of all records' CRC-32 of their tokens (4 bytes each), u32 CRC-32 of these 44
// bytes. Version 1 is read too: 32 bytes, 8 of them 0 after the first CRC-32; that it was cut off cannot be told.
// Each record begins at a multiple of 8: u32 "TOKN", u32 tokens, u32 CRC-32 of their bytes, u32 CRC-32 of
// these 12 bytes, the tokens, zeros up to the next multiple of 8.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/base/file.h"
#include "core/data/bpe/tokenizer.h"

namespace covey {

inline constexpr std::uint32_t kDocumentTokensMax = 1 << 28;
inline constexpr const char* kTokenShardEnd = ".tokens";  // of its file's name

// Writes `path` whole or not at all: as `path`.partial until finish().
class TokenShardWriter {
 public:
  // Errors: kAlreadyExists, kDiskFull and the like; kInvalidArgument for a vocabulary out of range.
  static Result<TokenShardWriter> create(const std::string& path, std::uint32_t vocabulary);
  // Errors: kInvalidArgument (a token out of range, a document that is empty or too long).
  Result<void> add(std::span<const TextToken> document);
  Result<void> finish();
  std::uint64_t tokens() const { return tokens_; }

 private:
  TokenShardWriter(FileDescriptor file, std::string path, std::uint32_t vocabulary);
  Result<void> flush();
  FileDescriptor file_;
  std::string path_;
  std::uint32_t vocabulary_ = 0;
  std::uint64_t written_ = 0;  // bytes
  std::uint64_t tokens_ = 0, records_ = 0;
  std::uint32_t roll_ = 0;     // CRC-32 of the records' CRC-32
  Bytes pending_;
};

class TokenShard {
 public:
  // Finds the records; their tokens are read and checked when they are asked for.
  // Errors, with the path: kNotFound, kInvalidData (no such file's header, or cut off, or longer than it was).
  static Result<TokenShard> open(const std::string& path);
  // Of its header alone; the same errors.
  static Result<std::uint32_t> vocabulary_of(const std::string& path);
  std::uint32_t vocabulary() const { return vocabulary_; }
  std::uint32_t records() const { return static_cast<std::uint32_t>(places_.size()); }
  std::uint32_t tokens(std::uint32_t record) const { return places_[record].tokens; }  // as its header says
  std::uint32_t damaged() const { return damaged_; }  // records not found; of version 1: stretches without one

  // Nothing where the record is damaged. Errors: of the disk.
  Result<std::optional<TokenIds>> read(std::uint32_t record) const;

 private:
  struct Place {
    std::uint64_t offset = 0;  // of the tokens
    std::uint32_t tokens = 0, crc = 0;
  };
  TokenShard(FileDescriptor file, std::string path);
  static Result<TokenShard> open_header(const std::string& path);
  Result<void> read_length(ByteSpan header);
  Result<void> find_records();
  Result<void> check_records();
  FileDescriptor file_;
  std::string path_;
  std::uint32_t vocabulary_ = 0;
  std::size_t width_ = 0;  // bytes of a token
  std::uint64_t bytes_ = 0, begin_ = 0;        // of the file; where its records begin
  std::optional<std::uint64_t> records_told_;  // none: version 1
  std::uint32_t roll_told_ = 0;
  std::uint32_t damaged_ = 0;
  std::vector<Place> places_;
};

// What was read and what had to be passed over.
struct TextCount {
  std::uint64_t documents = 0, tokens = 0, damaged = 0;
};
// Encodes documents into name-00000.tokens and so on in `folder`, which is made: a new file after
// `tokens_max`. Call add() for each document, then finish().
class TokenShardSet {
 public:
  TokenShardSet(std::string folder, const Tokenizer& tokenizer, std::uint64_t tokens_max);
  // Empty documents are passed over. Errors: of TokenShardWriter.
  Result<void> add(std::string_view document);
  Result<TextCount> finish();

 private:
  std::string folder_;
  TokenEncoder encoder_;
  std::uint32_t vocabulary_;
  std::uint64_t tokens_max_;
  std::uint32_t files_ = 0;
  TextCount count_;
  std::optional<TokenShardWriter> writer_;
};

}  // namespace covey
