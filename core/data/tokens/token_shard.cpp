#include "core/data/tokens/token_shard.h"

#include <zlib.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "core/base/check.h"
#include "core/base/wire.h"
#include "core/data/files.h"

namespace covey {
namespace {

constexpr std::string_view kMagic = "COVEYTOK";
constexpr std::uint32_t kVersion = 2, kVersionWithoutLength = 1;
constexpr std::uint32_t kRecordMagic = 0x4e4b4f54;  // "TOKN"
constexpr std::size_t kHeaderBytes = 48, kShortHeaderBytes = 32, kRecordHeaderBytes = 16;
constexpr std::size_t kPendingMax = 4 << 20;
constexpr std::size_t kBlockBytes = 1 << 20;  // of a file, at a time, while records are looked for

Unexpected invalid(std::string message) { return unexpected(ErrorCode::kInvalidData, std::move(message)); }

std::uint32_t crc_of(ByteSpan bytes) {
  return static_cast<std::uint32_t>(::crc32_z(0, bytes.data(), bytes.size()));
}

// The CRC-32 of what `roll` is of and of one more number.
std::uint32_t rolled(std::uint32_t roll, std::uint32_t number) {
  ByteWriter writer;
  writer.u32(number);
  return static_cast<std::uint32_t>(::crc32_z(roll, writer.bytes().data(), writer.bytes().size()));
}

std::size_t token_bytes(std::uint32_t vocabulary) { return vocabulary <= 65536 ? 2 : 4; }

std::uint64_t padded(std::uint64_t bytes) { return (bytes + 7) / 8 * 8; }

struct RecordHeader {
  std::uint32_t tokens = 0, crc = 0;
};
std::optional<RecordHeader> record_header(ByteSpan bytes) {
  ByteReader reader(bytes);
  const bool magic = reader.u32() == kRecordMagic;
  const RecordHeader header{reader.u32(), reader.u32()};
  if (!magic || reader.u32() != crc_of(bytes.first(12)) || header.tokens == 0 ||
      header.tokens > kDocumentTokensMax)
    return std::nullopt;
  return header;
}

// What a whole file of `bytes` begins with.
Bytes header_of(std::uint32_t vocabulary, std::uint64_t bytes, std::uint64_t records, std::uint32_t roll) {
  ByteWriter header;
  header.raw(bytes_of(kMagic)).u32(kVersion).u32(vocabulary).u32(static_cast<std::uint32_t>(token_bytes(vocabulary)));
  header.u32(crc_of(header.bytes())).u64(bytes).u64(records).u32(roll);
  header.u32(crc_of(header.bytes()));
  COVEY_CHECK(header.bytes().size() == kHeaderBytes);
  return header.take();
}

// A file's bytes by position, a block at a time.
class BlockReader {
 public:
  BlockReader(const FileDescriptor& file, const std::string& path, std::uint64_t bytes)
      : file_(file), path_(path), bytes_(bytes) {}
  // `count` bytes, at most a block; they lie within the file.
  Result<ByteSpan> at(std::uint64_t offset, std::size_t count) {
    if (offset < begin_ || offset + count > begin_ + block_.size()) {
      block_.resize(static_cast<std::size_t>(std::min<std::uint64_t>(kBlockBytes, bytes_ - offset)));
      COVEY_TRY(const std::size_t got, read_at(file_, offset, block_, path_));
      begin_ = offset;
      if (got != block_.size()) return invalid(path_ + ": changed while it was read");
    }
    return ByteSpan(block_).subspan(static_cast<std::size_t>(offset - begin_), count);
  }

 private:
  const FileDescriptor& file_;
  const std::string& path_;
  std::uint64_t bytes_;
  std::uint64_t begin_ = 0;
  Bytes block_;
};

}  // namespace

TokenShardWriter::TokenShardWriter(FileDescriptor file, std::string path, std::uint32_t vocabulary)
    : file_(std::move(file)), path_(std::move(path)), vocabulary_(vocabulary) {}

Result<TokenShardWriter> TokenShardWriter::create(const std::string& path, std::uint32_t vocabulary) {
  if (vocabulary < 1 || vocabulary > kVocabularyMax)
    return unexpected(ErrorCode::kInvalidArgument, "the vocabulary has " + std::to_string(vocabulary) +
                                                       " tokens, 1 to " + std::to_string(kVocabularyMax) +
                                                       " are possible");
  if (file_exists(path))
    return unexpected(ErrorCode::kAlreadyExists, path + " is there already: name another file, or remove it");
  COVEY_TRY(FileDescriptor file, create_data_file(path + ".partial"));
  TokenShardWriter writer(std::move(file), path, vocabulary);
  writer.pending_ = header_of(vocabulary, 0, 0, 0);  // what it holds is known at the end
  return writer;
}

Result<void> TokenShardWriter::add(std::span<const TextToken> document) {
  if (document.empty() || document.size() > kDocumentTokensMax)
    return unexpected(ErrorCode::kInvalidArgument, "a document has " + std::to_string(document.size()) +
                                                       " tokens, 1 to " + std::to_string(kDocumentTokensMax) +
                                                       " are possible");
  const std::size_t width = token_bytes(vocabulary_);
  Bytes body(document.size() * width);
  for (std::size_t i = 0; i < document.size(); ++i) {
    if (document[i] >= vocabulary_)
      return unexpected(ErrorCode::kInvalidArgument, "token " + std::to_string(document[i]) +
                                                         " is out of range, the vocabulary has " +
                                                         std::to_string(vocabulary_));
    for (std::size_t b = 0; b < width; ++b)
      body[i * width + b] = static_cast<std::uint8_t>(document[i] >> (8 * b));
  }
  ByteWriter header;
  const std::uint32_t crc = crc_of(body);
  header.u32(kRecordMagic).u32(static_cast<std::uint32_t>(document.size())).u32(crc);
  header.u32(crc_of(header.bytes()));
  pending_.insert(pending_.end(), header.bytes().begin(), header.bytes().end());
  pending_.insert(pending_.end(), body.begin(), body.end());
  pending_.resize(padded(pending_.size()));  // what was flushed is a multiple of 8 too
  tokens_ += document.size();
  ++records_;
  roll_ = rolled(roll_, crc);
  return pending_.size() < kPendingMax ? Result<void>() : flush();
}

Result<void> TokenShardWriter::flush() {
  COVEY_TRY_VOID(write_at(file_, written_, pending_, path_));
  written_ += pending_.size();
  pending_.clear();
  return {};
}

Result<void> TokenShardWriter::finish() {
  COVEY_TRY_VOID(flush());
  COVEY_TRY_VOID(write_at(file_, 0, header_of(vocabulary_, written_, records_, roll_), path_));
  COVEY_TRY_VOID(sync_file(file_, path_));
  COVEY_TRY_VOID(rename_file(path_ + ".partial", path_));
  const std::size_t slash = path_.find_last_of('/');
  return sync_folder(slash == std::string::npos ? "." : slash == 0 ? "/" : path_.substr(0, slash));
}

TokenShard::TokenShard(FileDescriptor file, std::string path)
    : file_(std::move(file)), path_(std::move(path)) {}

Result<TokenShard> TokenShard::open(const std::string& path) {
  COVEY_TRY(TokenShard shard, open_header(path));
  COVEY_TRY_VOID(shard.find_records());
  COVEY_TRY_VOID(shard.check_records());
  return shard;
}

Result<std::uint32_t> TokenShard::vocabulary_of(const std::string& path) {
  COVEY_TRY(const TokenShard shard, open_header(path));
  return shard.vocabulary_;
}

Result<TokenShard> TokenShard::open_header(const std::string& path) {
  COVEY_TRY(const FileList one, list_files(path));  // a FIFO or a folder is refused before it is opened
  if (one.files.size() != 1 || one.files[0].path != path)
    return invalid(shown(path, 300) + " is a folder, a token file is needed");
  COVEY_TRY(FileDescriptor file, open_file(path, OpenMode::kRead));
  TokenShard shard(std::move(file), path);
  Bytes header(kHeaderBytes);
  COVEY_TRY(const std::size_t got, read_at(shard.file_, 0, header, path));
  ByteReader reader(header);
  COVEY_TRY(shard.bytes_, file_size(shard.file_, path));
  const bool magic = got >= kShortHeaderBytes && text_of(reader.raw(8)) == kMagic;
  if (!magic) return invalid(path + " is no token file: it does not begin with " + std::string(kMagic));
  const std::uint32_t version = reader.u32();
  shard.vocabulary_ = reader.u32();
  shard.width_ = reader.u32();
  if (reader.u32() != crc_of(ByteSpan(header).first(20)))
    return invalid(path + ": its first 20 bytes are damaged: make it again");
  if (version != kVersion && version != kVersionWithoutLength)
    return unexpected(ErrorCode::kUnsupported, path + ": has version " + std::to_string(version) + ", 1 and " +
                                                   std::to_string(kVersion) + " are read: make it again");
  if (shard.vocabulary_ < 1 || shard.vocabulary_ > kVocabularyMax ||
      shard.width_ != token_bytes(shard.vocabulary_))
    return invalid(path + ": says that its vocabulary has " + std::to_string(shard.vocabulary_) +
                   " tokens of " + std::to_string(shard.width_) + " bytes");
  shard.begin_ = kShortHeaderBytes;
  if (version == kVersion) COVEY_TRY_VOID(shard.read_length(ByteSpan(header).first(got)));
  return shard;
}

Result<void> TokenShard::read_length(ByteSpan header) {
  if (header.size() < kHeaderBytes)
    return invalid(path_ + " is cut off within its first " + std::to_string(kHeaderBytes) +
                   " bytes: copy it again, or make it again");
  ByteReader reader(header.subspan(24));
  const std::uint64_t bytes = reader.u64(), records = reader.u64();
  roll_told_ = reader.u32();
  if (reader.u32() != crc_of(header.first(44)))
    return invalid(path_ + ": its first 48 bytes are damaged: copy it again, or make it again");
  if (bytes != bytes_)
    return invalid(path_ + (bytes_ < bytes ? " is cut off: it has " : ": something was added to it: it has ") + std::to_string(bytes_) +
                   " bytes, when it was made it had " + std::to_string(bytes) + ": copy it again, or make it again");
  records_told_ = records;
  begin_ = kHeaderBytes;
  return {};
}

// Damage is counted in records; records that are whole but others are no damage.
Result<void> TokenShard::check_records() {
  if (!records_told_) return {};
  if (places_.size() < *records_told_) {
    const std::uint64_t missing = *records_told_ - places_.size();
    damaged_ = std::max(damaged_, static_cast<std::uint32_t>(std::min<std::uint64_t>(missing, ~std::uint32_t{0})));
    return {};
  }
  std::uint32_t roll = 0;
  for (const Place& place : places_) roll = rolled(roll, place.crc);
  if (places_.size() == *records_told_ && (damaged_ != 0 || roll == roll_told_)) return {};
  return invalid(path_ + ": holds other documents than when it was made: copy it again, or make it again");
}

Result<void> TokenShard::find_records() {
  const std::uint64_t bytes = bytes_;
  BlockReader blocks(file_, path_, bytes);
  bool lost = false;  // within a stretch that was counted
  for (std::uint64_t at = begin_; at < bytes;) {
    if (bytes - at < kRecordHeaderBytes) {
      damaged_ += lost ? 0 : 1;
      break;
    }
    COVEY_TRY(const ByteSpan head, blocks.at(at, kRecordHeaderBytes));
    const auto header = record_header(head);
    const std::uint64_t body = header ? std::uint64_t{header->tokens} * width_ : 0;
    if (!header || body > bytes - at - kRecordHeaderBytes) {
      damaged_ += lost ? 0 : 1;
      lost = true;
      at += 8;  // where the next record may begin
      continue;
    }
    lost = false;
    places_.push_back({at + kRecordHeaderBytes, header->tokens, header->crc});
    at = padded(at + kRecordHeaderBytes + body);
  }
  return {};
}

Result<std::optional<TokenIds>> TokenShard::read(std::uint32_t record) const {
  COVEY_CHECK(record < places_.size());
  const Place& place = places_[record];
  Bytes body(std::size_t{place.tokens} * width_);
  COVEY_TRY(const std::size_t got, read_at(file_, place.offset, body, path_));
  if (got != body.size() || crc_of(body) != place.crc) return std::optional<TokenIds>();
  TokenIds ids(place.tokens);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    TextToken id = 0;
    std::memcpy(&id, body.data() + i * width_, width_);  // little-endian, as this machine
    if (id >= vocabulary_) return std::optional<TokenIds>();
    ids[i] = id;
  }
  return std::optional(std::move(ids));
}

TokenShardSet::TokenShardSet(std::string folder, const Tokenizer& tokenizer, std::uint64_t tokens_max)
    : folder_(std::move(folder)),
      encoder_(tokenizer),
      vocabulary_(tokenizer.vocabulary()),
      tokens_max_(tokens_max) {}

Result<void> TokenShardSet::add(std::string_view document) {
  const TokenIds ids = encoder_.encode(document);
  if (ids.empty()) return {};
  if (writer_ && writer_->tokens() + ids.size() > tokens_max_) {
    COVEY_TRY_VOID(writer_->finish());
    writer_.reset();
  }
  if (!writer_) {
    COVEY_TRY_VOID(make_data_folders(folder_));
    char name[32];
    std::snprintf(name, sizeof name, "/part-%05u", files_++);
    COVEY_TRY(TokenShardWriter made, TokenShardWriter::create(folder_ + name + kTokenShardEnd, vocabulary_));
    writer_.emplace(std::move(made));
  }
  COVEY_TRY_VOID(writer_->add(ids));
  ++count_.documents;
  count_.tokens += ids.size();
  return {};
}

Result<TextCount> TokenShardSet::finish() {
  if (writer_) COVEY_TRY_VOID(writer_->finish());
  writer_.reset();
  return count_;
}

}  // namespace covey
