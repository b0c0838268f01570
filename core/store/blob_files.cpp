#include <algorithm>
#include <array>
#include <atomic>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>

#include "core/base/fault_point.h"
#include "core/base/file.h"
#include "core/base/wire.h"
#include "core/store/blob_rules.h"
#include "core/store/blobs.h"
#include "core/store/chunk_slots.h"

namespace covey {
namespace {

constexpr std::size_t kHeaderBytes = 8;  // of a .hashes file: the size

Result<std::vector<std::string>> names_in(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  std::filesystem::directory_iterator entry(folder, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error))
    names.push_back(entry->path().filename().string());
  if (error) return unexpected(system_error_of(error.value(), folder));
  return names;
}

Bytes joined(const std::vector<Digest>& hashes) {
  ByteWriter writer;
  for (const Digest& hash : hashes) writer.fixed(hash);
  return writer.take();
}

std::vector<Digest> split_hashes(ByteSpan bytes) {
  ByteReader reader(bytes);
  std::vector<Digest> hashes(bytes.size() / Digest::kSize);
  for (Digest& hash : hashes) hash = reader.fixed<Digest>();
  return hashes;
}

Result<Bytes> read_file(const std::string& path) {
  COVEY_TRY(const FileDescriptor file, open_file(path, OpenMode::kRead));
  COVEY_TRY(const std::uint64_t size, file_size(file, path));
  Bytes bytes(static_cast<std::size_t>(size));
  COVEY_TRY(const std::size_t got, read_at(file, 0, bytes, path));
  bytes.resize(got);
  return bytes;
}

struct HashedFile {
  std::uint64_t size = 0;
  std::vector<Digest> hashes;
};

// Hashes a file chunk by chunk, whatever its size.
Result<HashedFile> hash_file(const FileDescriptor& file, const std::string& path) {
  HashedFile hashed;
  Bytes buffer(kChunkBytes);
  while (true) {
    COVEY_TRY(const std::size_t got, read_at(file, hashed.size, buffer, path));
    if (got > 0) hashed.hashes.push_back(chunk_digest(ByteSpan(buffer).first(got)));
    hashed.size += got;
    if (got < buffer.size()) return hashed;
  }
}

class BlobFiles final : public BlobStore {
 public:
  BlobFiles(std::string root, FolderLock lock) : root_(std::move(root)), lock_(std::move(lock)), slots_(root_ + "/tmp") {}

  // Removes what a killed process left half done.
  Result<void> sweep();

  Result<BlobRef> put(ByteSpan value) override;
  bool has(const Digest& id) override { return file_exists(value_path(id)); }
  Result<Bytes> get(const Digest& id) override;
  Result<std::uint64_t> size(const Digest& id) override;
  Result<std::unique_ptr<BlobWriter>> writer() override;
  Result<Bytes> read(const Digest& id, std::uint64_t offset, std::size_t length) override;
  Result<void> read_into(const Digest& id, std::uint64_t offset, std::span<std::uint8_t> out) override;
  Result<void> read_written(const Digest& id, std::uint64_t offset, std::span<std::uint8_t> out) override;
  Result<std::vector<Digest>> chunk_hashes(const Digest& id) override;
  Result<std::vector<bool>> begin_partial(const BlobRef& blob,
                                          const std::vector<Digest>& hashes) override;
  Result<std::vector<bool>> begin_unsynced(const BlobRef& blob, const std::vector<Digest>& hashes) override;
  Result<void> write_chunk(const Digest& id, std::size_t index, ByteSpan chunk) override;
  Result<void> finish_partial(const Digest& id) override;
  void drop_partial(const Digest& id) override;
  Result<void> erase(const Digest& id) override;
  Result<std::vector<Digest>> list() override;

 private:
  friend class FileWriter;
  std::string folder_of(const Digest& id) const {
    return root_ + "/blobs/" + hex(id.span().first(1));
  }
  std::string value_path(const Digest& id) const { return folder_of(id) + "/" + hex(id.span()); }
  std::string chunks_path(const Digest& id) const { return value_path(id) + ".chunks"; }
  std::string partial_path(const Digest& id, const char* extension) const {
    return root_ + "/partial/" + hex(id.span()) + extension;
  }
  // Whole and synced under its name, or not there; the name itself lasts after sync_folder().
  Result<void> replace_file(const std::string& path, ByteSpan bytes);
  Result<BlobRef> adopt(const std::string& path, std::uint64_t size, const std::vector<Digest>& hashes);
  Result<FileDescriptor> open_value(const Digest& id);
  // kCorrupted unless the file's bytes make the id.
  Result<HashedFile> verify(const Digest& id, const FileDescriptor& file, const std::string& path);
  Result<void> write_chunk_of_whole(const Digest& id, std::size_t index, ByteSpan chunk);

  // An unfinished value that a restart loses. Its places are free when nobody reads it any more.
  struct Unsynced {
    Unsynced(const BlobRef& of, std::vector<Digest> list, ChunkSlots& places)
        : blob(of), hashes(std::move(list)), have(hashes.size()), slots(hashes.size()), store(places) {}
    ~Unsynced();
    Unsynced(const Unsynced&) = delete;
    Unsynced& operator=(const Unsynced&) = delete;
    const BlobRef blob;
    const std::vector<Digest> hashes;
    std::vector<std::atomic<bool>> have;
    std::vector<ChunkSlots::Slot> slots;  // of what is there
    ChunkSlots& store;
  };
  using UnsyncedPtr = std::shared_ptr<Unsynced>;  // shared: by the table and by calls under way
  UnsyncedPtr unsynced_of(const Digest& id);
  UnsyncedPtr take_unsynced(const Digest& id);
  Result<void> write_unsynced(Unsynced& value, std::size_t index, ByteSpan chunk);
  Result<void> read_unsynced(const Unsynced& value, std::uint64_t offset, std::span<std::uint8_t> out);
  Result<void> finish_unsynced(const Unsynced& value);

  std::string root_;
  FolderLock lock_;
  ChunkSlots slots_;  // outlives the values in it
  std::mutex mutex_;
  std::map<Digest, UnsyncedPtr> unsynced_;
  std::atomic<std::uint64_t> temporary_count_ = 0;
};

Unexpected corrupted(const Digest& id, const std::string& path) {
  return unexpected(ErrorCode::kCorrupted, path + ": its bytes do not make " +
                                               blob_rules::name_of_blob(id) +
                                               ": at a client, remove it, and it is fetched again; at the coordinator, restore the newest backup");
}

Result<void> BlobFiles::sweep() {
  COVEY_TRY(const auto temporary, names_in(root_ + "/tmp"));
  for (const std::string& name : temporary) COVEY_TRY_VOID(remove_file(root_ + "/tmp/" + name));
  fault_point("blob.sweep.temporary_gone");
  COVEY_TRY(const auto partial, names_in(root_ + "/partial"));
  for (const std::string& name : partial) {
    const auto id = fixed_from_hex<Digest>(std::string_view(name).substr(0, 64));
    // Of a value that was made whole, or of a transfer that was being dropped.
    if (id && (has(*id) || !file_exists(partial_path(*id, ".hashes")))) drop_partial(*id);
  }
  COVEY_TRY(const auto folders, names_in(root_ + "/blobs"));
  for (const std::string& folder : folders) {
    const std::string path = root_ + "/blobs/" + folder;
    COVEY_TRY(const auto names, names_in(path));
    for (const std::string& name : names)
      if (name.ends_with(".chunks") && !file_exists(path + "/" + name.substr(0, name.size() - 7)))
        COVEY_TRY_VOID(remove_file(path + "/" + name));
  }
  return {};
}

Result<void> BlobFiles::replace_file(const std::string& path, ByteSpan bytes) {
  const std::string temporary = root_ + "/tmp/" + std::to_string(temporary_count_++);
  const auto written = [&]() -> Result<void> {
    COVEY_TRY(const FileDescriptor file, open_file(temporary, OpenMode::kReplace));
    fault_point("blob.file.created");
    COVEY_TRY_VOID(write_at(file, 0, bytes, path));
    fault_point("blob.file.written");
    COVEY_TRY_VOID(sync_file(file, path));
    fault_point("blob.file.synced");
    COVEY_TRY_VOID(rename_file(temporary, path));
    fault_point("blob.file.renamed");
    return {};
  }();
  if (!written) (void)remove_file(temporary);  // the first error is the one to tell
  return written;
}

Result<FileDescriptor> BlobFiles::open_value(const Digest& id) {
  auto file = open_file(value_path(id), OpenMode::kRead);
  if (!file && file.error().code == ErrorCode::kNotFound) return blob_rules::missing(id);
  return file;
}

Result<HashedFile> BlobFiles::verify(const Digest& id, const FileDescriptor& file,
                                     const std::string& path) {
  COVEY_TRY(HashedFile hashed, hash_file(file, path));
  if (blob_id(hashed.size, hashed.hashes) != id) return corrupted(id, path);
  return hashed;
}

// Appends to a file in tmp/, which takes the value's name when it is finished.
class FileWriter final : public BlobWriter {
 public:
  FileWriter(BlobFiles& files, std::string path, FileDescriptor file)
      : files_(files), path_(std::move(path)), file_(std::move(file)) {}
  ~FileWriter() override { (void)remove_file(path_); }  // what is left is swept at the next open

  Result<void> append(ByteSpan piece) override {
    while (!piece.empty()) {
      const std::size_t count = std::min(piece.size(), kChunkBytes - part_.size());
      if (part_.empty() && count == kChunkBytes) {
        COVEY_TRY_VOID(write(piece.first(count)));
      } else {
        part_.insert(part_.end(), piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(count));
        if (part_.size() == kChunkBytes) COVEY_TRY_VOID(flush());
      }
      piece = piece.subspan(count);
    }
    return {};
  }
  Result<void> read_back(std::uint64_t offset, std::span<std::uint8_t> out) override {
    COVEY_CHECK(offset + out.size() <= size_ + part_.size());
    const auto on_disk = static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), size_ - std::min(offset, size_)));
    COVEY_TRY(const std::size_t got, read_at(file_, offset, out.first(on_disk), path_));
    if (got != on_disk) return unexpected(ErrorCode::kCorrupted, path_ + ": shorter than what was written");
    const std::uint64_t rest = offset + on_disk - size_;  // where in part_
    if (on_disk < out.size())
      std::copy_n(part_.begin() + static_cast<std::ptrdiff_t>(rest), out.size() - on_disk,
                  out.begin() + static_cast<std::ptrdiff_t>(on_disk));
    return {};
  }
  Result<BlobRef> finish() override {
    if (!part_.empty()) COVEY_TRY_VOID(flush());
    COVEY_TRY_VOID(sync_file(file_, path_));
    return files_.adopt(path_, size_, hashes_);
  }

 private:
  Result<void> flush() {
    COVEY_TRY_VOID(write(part_));
    part_.clear();
    return {};
  }
  Result<void> write(ByteSpan chunk) {
    COVEY_TRY_VOID(write_at(file_, size_, chunk, path_));
    hashes_.push_back(chunk_digest(chunk));
    size_ += chunk.size();
    return {};
  }

  BlobFiles& files_;
  std::string path_;
  FileDescriptor file_;
  std::uint64_t size_ = 0;  // in the file: whole chunks, until finish()
  std::vector<Digest> hashes_;
  Bytes part_;              // the chunk being filled
};

Result<std::unique_ptr<BlobWriter>> BlobFiles::writer() {
  std::string path = root_ + "/tmp/" + std::to_string(temporary_count_++);
  COVEY_TRY(FileDescriptor file, open_file(path, OpenMode::kReplace));
  return std::unique_ptr<BlobWriter>(std::make_unique<FileWriter>(*this, std::move(path), std::move(file)));
}

// A synced temporary file with these chunks becomes the value.
Result<BlobRef> BlobFiles::adopt(const std::string& path, std::uint64_t size, const std::vector<Digest>& hashes) {
  const BlobRef blob{blob_id(size, hashes), size};
  COVEY_TRY_VOID(make_folders(folder_of(blob.id)));
  COVEY_TRY_VOID(replace_file(chunks_path(blob.id), joined(hashes)));
  COVEY_TRY_VOID(rename_file(path, value_path(blob.id)));
  COVEY_TRY_VOID(sync_folder(folder_of(blob.id)));
  return blob;
}

Result<BlobRef> BlobFiles::put(ByteSpan value) {
  const std::vector<Digest> hashes = blob_rules::hash_chunks(value);
  const BlobRef blob{blob_id(value.size(), hashes), value.size()};
  COVEY_TRY_VOID(make_folders(folder_of(blob.id)));
  // A value that is there already is kept if it is sound, and mended if it is not.
  const auto present = open_value(blob.id);
  if (!present || !verify(blob.id, *present, value_path(blob.id))) {
    COVEY_TRY_VOID(replace_file(chunks_path(blob.id), joined(hashes)));
    fault_point("blob.put.listed");
    COVEY_TRY_VOID(replace_file(value_path(blob.id), value));
  }
  fault_point("blob.put.named");
  COVEY_TRY_VOID(sync_folder(folder_of(blob.id)));
  fault_point("blob.put.end");
  return blob;
}

Result<Bytes> BlobFiles::get(const Digest& id) {
  COVEY_TRY(const FileDescriptor file, open_value(id));
  COVEY_TRY(const std::uint64_t size, file_size(file, value_path(id)));
  Bytes value(static_cast<std::size_t>(size));
  COVEY_TRY(const std::size_t got, read_at(file, 0, value, value_path(id)));
  if (got != value.size() || blob_id(size, blob_rules::hash_chunks(value)) != id)
    return corrupted(id, value_path(id));
  return value;
}

Result<std::uint64_t> BlobFiles::size(const Digest& id) {
  COVEY_TRY(const FileDescriptor file, open_value(id));
  return file_size(file, value_path(id));
}

Result<Bytes> BlobFiles::read(const Digest& id, std::uint64_t offset, std::size_t length) {
  COVEY_TRY(const std::uint64_t whole, size(id));
  COVEY_TRY_VOID(blob_rules::check_range(id, whole, offset, length));  // before so much memory is taken
  Bytes part(length);
  COVEY_TRY_VOID(read_into(id, offset, part));
  return part;
}

Result<void> BlobFiles::read_into(const Digest& id, std::uint64_t offset, std::span<std::uint8_t> out) {
  COVEY_TRY(const FileDescriptor file, open_value(id));
  COVEY_TRY(const std::uint64_t size, file_size(file, value_path(id)));
  COVEY_TRY_VOID(blob_rules::check_range(id, size, offset, out.size()));
  COVEY_TRY(const std::size_t got, read_at(file, offset, out, value_path(id)));
  if (got != out.size()) return corrupted(id, value_path(id));
  return {};
}

Result<void> BlobFiles::read_written(const Digest& id, std::uint64_t offset, std::span<std::uint8_t> out) {
  if (const UnsyncedPtr value = unsynced_of(id)) return read_unsynced(*value, offset, out);
  const std::string path = partial_path(id, ".part");
  const auto file = open_file(path, OpenMode::kRead);
  if (!file && file.error().code == ErrorCode::kNotFound) return read_into(id, offset, out);
  if (!file) return unexpected(file.error());
  COVEY_TRY(const std::size_t got, read_at(*file, offset, out, path));
  if (got != out.size()) return corrupted(id, path);
  return {};
}

Result<std::vector<Digest>> BlobFiles::chunk_hashes(const Digest& id) {
  COVEY_TRY(const FileDescriptor file, open_value(id));
  COVEY_TRY(const std::uint64_t size, file_size(file, value_path(id)));
  if (const auto bytes = read_file(chunks_path(id))) {
    std::vector<Digest> hashes = split_hashes(*bytes);
    if (bytes->size() % Digest::kSize == 0 && blob_id(size, hashes) == id) return hashes;
  }
  // The list is only a shortcut: the value can make it again.
  COVEY_TRY(HashedFile hashed, verify(id, file, value_path(id)));
  COVEY_TRY_VOID(replace_file(chunks_path(id), joined(hashed.hashes)));
  return std::move(hashed.hashes);
}

Result<std::vector<bool>> BlobFiles::begin_partial(const BlobRef& blob,
                                                   const std::vector<Digest>& hashes) {
  COVEY_TRY_VOID(blob_rules::check_hashes(blob, hashes));
  if (has(blob.id)) return std::vector<bool>(hashes.size(), true);
  if (const UnsyncedPtr value = unsynced_of(blob.id)) return std::vector<bool>(value->have.begin(), value->have.end());
  const std::string hashes_path = partial_path(blob.id, ".hashes");
  const Bytes record = ByteWriter().u64(blob.size).raw(joined(hashes)).take();
  fault_point("blob.partial.begin");
  if (const auto stored = read_file(hashes_path); !stored || *stored != record)
    COVEY_TRY_VOID(replace_file(hashes_path, record));
  fault_point("blob.partial.listed");

  const std::string have_path = partial_path(blob.id, ".have");
  const std::string part_path = partial_path(blob.id, ".part");
  COVEY_TRY(const FileDescriptor have_file, open_file(have_path, OpenMode::kReadWrite));
  COVEY_TRY(const FileDescriptor part_file, open_file(part_path, OpenMode::kReadWrite));
  Bytes flags(hashes.size());
  COVEY_TRY_VOID(read_at(have_file, 0, flags, have_path));
  // A flag says that a chunk was written, not that it reached the disk before the power went.
  std::vector<bool> have(hashes.size());
  Bytes buffer(kChunkBytes);
  for (std::size_t i = 0; i < hashes.size(); ++i) {
    if (flags[i] != 1) continue;
    const auto chunk = std::span(buffer).first(blob_rules::chunk_bytes(blob.size, i));
    COVEY_TRY(const std::size_t got,
              read_at(part_file, std::uint64_t{i} * kChunkBytes, chunk, part_path));
    have[i] = got == chunk.size() && chunk_digest(chunk) == hashes[i];
  }
  for (std::size_t i = 0; i < hashes.size(); ++i) flags[i] = have[i] ? 1 : 0;
  COVEY_TRY_VOID(write_at(have_file, 0, flags, have_path));
  COVEY_TRY_VOID(sync_folder(root_ + "/partial"));
  return have;
}

BlobFiles::UnsyncedPtr BlobFiles::unsynced_of(const Digest& id) {
  const std::lock_guard lock(mutex_);
  const auto at = unsynced_.find(id);
  return at == unsynced_.end() ? nullptr : at->second;
}

BlobFiles::UnsyncedPtr BlobFiles::take_unsynced(const Digest& id) {
  const std::lock_guard lock(mutex_);
  const auto at = unsynced_.find(id);
  if (at == unsynced_.end()) return nullptr;
  UnsyncedPtr value = std::move(at->second);
  unsynced_.erase(at);
  return value;
}

Result<std::vector<bool>> BlobFiles::begin_unsynced(const BlobRef& blob, const std::vector<Digest>& hashes) {
  if (const UnsyncedPtr value = unsynced_of(blob.id)) return std::vector<bool>(value->have.begin(), value->have.end());
  // What an earlier, durable transfer left is worth more than a sync saved.
  if (has(blob.id) || file_exists(partial_path(blob.id, ".hashes"))) return begin_partial(blob, hashes);
  COVEY_TRY_VOID(blob_rules::check_hashes(blob, hashes));
  const auto value = std::make_shared<Unsynced>(blob, hashes, slots_);
  const std::lock_guard lock(mutex_);
  unsynced_[blob.id] = value;
  return std::vector<bool>(hashes.size());
}

BlobFiles::Unsynced::~Unsynced() {
  std::size_t count = 0;
  for (std::size_t i = 0; i < slots.size(); ++i)
    if (have[i]) slots[count++] = slots[i];
  store.give_back(std::span(slots).first(count));
}

Result<void> BlobFiles::write_unsynced(Unsynced& value, std::size_t index, ByteSpan chunk) {
  COVEY_TRY_VOID(blob_rules::check_index(value.blob, index));
  COVEY_TRY_VOID(blob_rules::check_chunk(value.blob, index, chunk, value.hashes[index]));
  if (value.have[index]) return {};
  COVEY_TRY(value.slots[index], slots_.put(chunk));
  value.have[index] = true;
  return {};
}

Result<void> BlobFiles::read_unsynced(const Unsynced& value, std::uint64_t offset, std::span<std::uint8_t> out) {
  COVEY_TRY_VOID(blob_rules::check_range(value.blob.id, value.blob.size, offset, out.size()));
  while (!out.empty()) {
    const auto index = static_cast<std::size_t>(offset / kChunkBytes);
    const auto within = static_cast<std::size_t>(offset % kChunkBytes);
    if (!value.have[index])
      return unexpected(ErrorCode::kCorrupted,
                        blob_rules::name_of_blob(value.blob.id) + ": its chunk " + std::to_string(index) + " has not come");
    const std::size_t count = std::min(out.size(), kChunkBytes - within);
    COVEY_TRY_VOID(slots_.read(value.slots[index], within, out.first(count)));
    out = out.subspan(count);
    offset += count;
  }
  return {};
}

// Durable after all: gathered in a file of its own.
Result<void> BlobFiles::finish_unsynced(const Unsynced& value) {
  const auto lacking = std::count(value.have.begin(), value.have.end(), false);
  if (lacking != 0) return blob_rules::unfinished(value.blob.id, static_cast<std::size_t>(lacking));
  COVEY_TRY(const auto whole, writer());
  Bytes buffer(kChunkBytes);
  for (std::size_t i = 0; i < value.hashes.size(); ++i) {
    const auto chunk = std::span(buffer).first(blob_rules::chunk_bytes(value.blob.size, i));
    COVEY_TRY_VOID(slots_.read(value.slots[i], 0, chunk));
    COVEY_TRY_VOID(blob_rules::check_chunk(value.blob, i, chunk, value.hashes[i]));
    COVEY_TRY_VOID(whole->append(chunk));
  }
  COVEY_TRY(const BlobRef made, whole->finish());
  COVEY_CHECK(made == value.blob);
  take_unsynced(value.blob.id);
  return {};
}

Result<void> BlobFiles::write_chunk_of_whole(const Digest& id, std::size_t index, ByteSpan chunk) {
  COVEY_TRY(const FileDescriptor file, open_value(id));
  COVEY_TRY(const std::uint64_t size, file_size(file, value_path(id)));
  const BlobRef blob{id, size};
  COVEY_TRY_VOID(blob_rules::check_index(blob, index));
  COVEY_TRY(const std::vector<Digest> hashes, chunk_hashes(id));
  return blob_rules::check_chunk(blob, index, chunk, hashes[index]);
}

Result<void> BlobFiles::write_chunk(const Digest& id, std::size_t index, ByteSpan chunk) {
  if (const UnsyncedPtr value = unsynced_of(id)) return write_unsynced(*value, index, chunk);
  if (has(id)) return write_chunk_of_whole(id, index, chunk);
  const std::string hashes_path = partial_path(id, ".hashes");
  const auto hashes_file = open_file(hashes_path, OpenMode::kRead);
  if (!hashes_file && hashes_file.error().code == ErrorCode::kNotFound)
    return blob_rules::missing_partial(id);
  if (!hashes_file) return unexpected(hashes_file.error());
  // Only the size and the one hash: the list of a large model is long.
  std::array<std::uint8_t, kHeaderBytes> header{};
  COVEY_TRY_VOID(read_at(*hashes_file, 0, header, hashes_path));
  const BlobRef blob{id, ByteReader(header).u64()};
  COVEY_TRY_VOID(blob_rules::check_index(blob, index));
  Digest expected;
  COVEY_TRY_VOID(read_at(*hashes_file, kHeaderBytes + std::uint64_t{index} * Digest::kSize,
                         expected.bytes, hashes_path));
  COVEY_TRY_VOID(blob_rules::check_chunk(blob, index, chunk, expected));

  const std::string part_path = partial_path(id, ".part");
  COVEY_TRY(const FileDescriptor part_file, open_file(part_path, OpenMode::kReadWrite));
  fault_point("blob.chunk.begin");
  COVEY_TRY_VOID(write_at(part_file, std::uint64_t{index} * kChunkBytes, chunk, part_path));
  fault_point("blob.chunk.written");
  const std::string have_path = partial_path(id, ".have");
  COVEY_TRY(const FileDescriptor have_file, open_file(have_path, OpenMode::kReadWrite));
  const std::uint8_t flag = 1;
  COVEY_TRY_VOID(write_at(have_file, index, {&flag, 1}, have_path));
  fault_point("blob.chunk.flagged");
  return {};
}

Result<void> BlobFiles::finish_partial(const Digest& id) {
  if (has(id)) {
    drop_partial(id);
    return {};
  }
  if (const UnsyncedPtr value = unsynced_of(id)) return finish_unsynced(*value);
  const auto record = read_file(partial_path(id, ".hashes"));
  if (!record && record.error().code == ErrorCode::kNotFound) return blob_rules::missing_partial(id);
  if (!record) return unexpected(record.error());
  const std::vector<Digest> hashes = split_hashes(
      ByteSpan(*record).subspan(std::min(record->size(), kHeaderBytes)));
  COVEY_TRY(Bytes flags, read_file(partial_path(id, ".have")));
  flags.resize(hashes.size());
  const auto present = std::count(flags.begin(), flags.end(), std::uint8_t{1});
  if (const std::size_t lacking = hashes.size() - static_cast<std::size_t>(present); lacking != 0)
    return blob_rules::unfinished(id, lacking);

  const std::string part_path = partial_path(id, ".part");
  COVEY_TRY(const FileDescriptor part_file, open_file(part_path, OpenMode::kRead));
  if (const auto hashed = verify(id, part_file, part_path); !hashed) {
    if (hashed.error().code != ErrorCode::kCorrupted) return unexpected(hashed.error());
    return unexpected(ErrorCode::kCorrupted,
                      part_path + ": changed since it was written: begin the transfer again");
  }
  fault_point("blob.finish.verified");
  COVEY_TRY_VOID(sync_file(part_file, part_path));
  fault_point("blob.finish.synced");
  COVEY_TRY_VOID(make_folders(folder_of(id)));
  COVEY_TRY_VOID(replace_file(chunks_path(id), joined(hashes)));
  fault_point("blob.finish.listed");
  COVEY_TRY_VOID(rename_file(part_path, value_path(id)));
  fault_point("blob.finish.renamed");
  COVEY_TRY_VOID(sync_folder(folder_of(id)));
  fault_point("blob.finish.folder_synced");
  drop_partial(id);
  fault_point("blob.finish.end");
  return {};
}

void BlobFiles::drop_partial(const Digest& id) {
  if (take_unsynced(id)) return;
  // What cannot be removed now is swept at the next open, or taken up by the next transfer.
  for (const char* extension : {".hashes", ".have", ".part"})
    (void)remove_file(partial_path(id, extension));
}

Result<void> BlobFiles::erase(const Digest& id) {
  if (!file_exists(folder_of(id))) return {};
  fault_point("blob.erase.begin");
  COVEY_TRY_VOID(remove_file(value_path(id)));
  fault_point("blob.erase.value_gone");
  COVEY_TRY_VOID(remove_file(chunks_path(id)));
  COVEY_TRY_VOID(sync_folder(folder_of(id)));
  fault_point("blob.erase.end");
  return {};
}

Result<std::vector<Digest>> BlobFiles::list() {
  std::vector<Digest> ids;
  COVEY_TRY(const auto folders, names_in(root_ + "/blobs"));
  for (const std::string& folder : folders) {
    COVEY_TRY(const auto names, names_in(root_ + "/blobs/" + folder));
    for (const std::string& name : names)
      if (const auto id = fixed_from_hex<Digest>(name)) ids.push_back(*id);
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

}  // namespace

constexpr const char* kFolders[] = {"/blobs", "/partial", "/tmp"};

Result<std::unique_ptr<BlobStore>> open_blob_files(const std::string& path) {
  for (const char* folder : kFolders) COVEY_TRY_VOID(make_folders(path + folder));
  COVEY_TRY(FolderLock lock, FolderLock::take(path));
  auto blobs = std::make_unique<BlobFiles>(path, std::move(lock));
  COVEY_TRY_VOID(blobs->sweep());
  return std::unique_ptr<BlobStore>(std::move(blobs));
}

Result<void> check_blob_folders(const std::string& path) {
  for (const char* folder : kFolders)
    if (!file_exists(path + folder))
      return unexpected(ErrorCode::kCorrupted, path + folder + " is gone: it was taken away while this program ran");
  return {};
}

Result<void> check_blob_file(const std::string& path, const Digest& id) {
  COVEY_TRY(const FileDescriptor file, open_file(path, OpenMode::kRead));
  COVEY_TRY(const HashedFile hashed, hash_file(file, path));
  if (blob_id(hashed.size, hashed.hashes) != id)
    return unexpected(ErrorCode::kCorrupted, path + ": its bytes do not make " + blob_rules::name_of_blob(id));
  const auto chunks = read_file(path + ".chunks");
  if (!chunks && chunks.error().code == ErrorCode::kNotFound) return {};
  if (!chunks) return unexpected(chunks.error());
  if (*chunks != joined(hashed.hashes))
    return unexpected(ErrorCode::kCorrupted, path + ".chunks: it does not list the chunks of " + blob_rules::name_of_blob(id));
  return {};
}

}  // namespace covey
