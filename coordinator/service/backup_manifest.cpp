#include "coordinator/service/backup_manifest.h"

#include <algorithm>
#include <charconv>
#include <numeric>

#include "coordinator/service/durable_state.h"
#include "core/crypto/digest.h"
#include "core/service/text_file.h"
#include "core/store/blobs.h"

namespace covey {
namespace {

constexpr std::string_view kHead = "covey-backup-v1";
constexpr std::size_t kManifestBytesMax = 256 << 20;  // about a million files
constexpr std::size_t kPathBytesMax = 256;

bool is_path(std::string_view path) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-' || c == '/';
  };
  return !path.empty() && path.size() <= kPathBytesMax && std::all_of(path.begin(), path.end(), plain) &&
         path.find("..") == std::string_view::npos && (path.starts_with("db/") || path.starts_with("blobs/"));
}

// Cuts a text into lines, and a line into words; says where it fails.
class Lines {
 public:
  explicit Lines(std::string_view text) : rest_(text) {}

  bool done() const { return rest_.empty(); }
  std::size_t at() const { return at_; }
  // The words of the next line after its first, which must be `name`; `count` of them.
  Result<std::vector<std::string_view>> words(std::string_view name, std::size_t count) {
    const std::size_t end = rest_.find('\n');
    ++at_;
    if (end == std::string_view::npos) return refused("it is cut off");
    std::string_view line = rest_.substr(0, end);
    rest_.remove_prefix(end + 1);
    std::vector<std::string_view> words;
    for (std::size_t blank; (blank = line.find(' ')) != std::string_view::npos; line.remove_prefix(blank + 1))
      words.push_back(line.substr(0, blank));
    words.push_back(line);
    if (words.front() != name || words.size() != count + 1)
      return refused("expected \"" + std::string(name) + "\" and " + std::to_string(count) + " words");
    words.erase(words.begin());
    return words;
  }
  bool next_is(std::string_view name) const { return rest_.starts_with(name); }
  Result<std::uint64_t> number(std::string_view word) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error == std::errc() && end == word.data() + word.size() && !word.empty()) return value;
    return refused("a number was expected");
  }
  template <class Fixed>
  Result<Fixed> fixed(std::string_view word) {
    const auto value = fixed_from_hex<Fixed>(word);
    if (value) return *value;
    return refused("a hash or key in hex was expected");
  }
  Unexpected refused(const std::string& what) const {
    return unexpected(ErrorCode::kCorrupted, "line " + std::to_string(at_) + ": " + what);
  }

 private:
  std::string_view rest_;
  std::size_t at_ = 0;
};

Result<BackupFile> file_from(Lines& lines) {
  COVEY_TRY(const auto words, lines.words("file", 3));
  BackupFile file;
  COVEY_TRY(file.content.hash, lines.fixed<Digest>(words[0]));
  COVEY_TRY(file.content.size, lines.number(words[1]));
  file.path = words[2];
  if (!is_path(file.path)) return lines.refused("a path within the backup was expected");
  return file;
}

std::string without_sum(const BackupManifest& manifest) {
  std::string text = std::string(kHead) + "\ntaken " + std::to_string(unix_nanos(manifest.taken)) + "\ncoordinator " +
                     hex(manifest.coordinator.span()) + "\nledger " + std::to_string(manifest.mark.ledger.sequence) +
                     " " + hex(manifest.mark.ledger.hash.span()) + "\nepoch " + std::to_string(manifest.mark.epoch) +
                     "\nstore " + std::to_string(manifest.mark.sequence) + "\n";
  for (const BackupFile& file : manifest.files)
    text += "file " + hex(file.content.hash.span()) + " " + std::to_string(file.content.size) + " " + file.path + "\n";
  return text;
}

Result<void> check_files(const std::string& folder, const BackupManifest& manifest) {
  COVEY_TRY(std::vector<std::string> present, files_below(folder));
  std::erase(present, kManifestName);
  std::vector<std::string> named;
  for (const BackupFile& file : manifest.files) named.push_back(file.path);
  for (const std::string& path : named)
    if (!std::binary_search(present.begin(), present.end(), path))
      return unexpected(ErrorCode::kCorrupted, folder + "/" + path + " is missing from this backup");
  for (const std::string& path : present)
    if (!std::binary_search(named.begin(), named.end(), path))
      return unexpected(ErrorCode::kCorrupted, folder + "/" + path + " is not in this backup's manifest");
  for (const BackupFile& file : manifest.files) {
    const std::string path = folder + "/" + file.path;
    COVEY_TRY(const CopiedFile found, hash_of_file(path));
    if (found.size != file.content.size || found.hash != file.content.hash)
      return unexpected(ErrorCode::kCorrupted, path + ": its bytes are not those that were saved");
    auto sound = check_saved_value(path);
    if (!sound) return unexpected(ErrorCode::kCorrupted, sound.error().message + ": it was damaged before it was saved; take an older backup, and verify that");
  }
  return {};
}

Result<void> check_rows(const std::string& folder, const BackupManifest& manifest) {
  COVEY_TRY(const StoreContents contents, read_rocks_store(folder + "/db", Recovery::kStrict));
  COVEY_TRY(const MarkedRows found, mark_of_rows(contents.rows, contents.sequence, 0));
  if (found.now != manifest.mark)
    return unexpected(ErrorCode::kCorrupted, folder + "/db: does not hold what its manifest says of it");
  COVEY_TRY(const std::set<Digest> blobs, blobs_needed(contents.rows));
  for (const Digest& id : blobs) {
    const std::string name = hex(id.span());
    const std::string path = "blobs/blobs/" + name.substr(0, 2) + "/" + name;
    const auto at = std::lower_bound(manifest.files.begin(), manifest.files.end(), path,
                                     [](const BackupFile& file, const std::string& wanted) { return file.path < wanted; });
    if (at == manifest.files.end() || at->path != path)
      return unexpected(ErrorCode::kCorrupted, folder + "/" + path + ": a row names this value, but it was not saved");
  }
  return {};
}

}  // namespace

Result<void> check_saved_value(const std::string& path) {
  const std::size_t name = path.rfind('/') + 1;  // 0 where there is none
  const auto id = fixed_from_hex<Digest>(std::string_view(path).substr(name));
  return id && path.find("blobs/") < name ? check_blob_file(path, *id) : Result<void>();
}

std::uint64_t BackupManifest::bytes() const {
  return std::accumulate(files.begin(), files.end(), std::uint64_t{0},
                         [](std::uint64_t sum, const BackupFile& file) { return sum + file.content.size; });
}

std::string text_of(const BackupManifest& manifest) {
  const std::string text = without_sum(manifest);
  return text + "sum " + hex(sha256(bytes_of(text)).span()) + "\n";
}

Result<BackupManifest> manifest_from_text(std::string_view text) {
  Lines lines(text);
  BackupManifest manifest;
  COVEY_TRY_VOID(lines.words(kHead, 0));
  COVEY_TRY(const auto taken, lines.words("taken", 1));
  COVEY_TRY(const std::uint64_t nanos, lines.number(taken[0]));
  manifest.taken = instant_of_nanos(static_cast<std::int64_t>(nanos));
  COVEY_TRY(const auto coordinator, lines.words("coordinator", 1));
  COVEY_TRY(manifest.coordinator, lines.fixed<PeerKey>(coordinator[0]));
  COVEY_TRY(const auto ledger, lines.words("ledger", 2));
  COVEY_TRY(manifest.mark.ledger.sequence, lines.number(ledger[0]));
  COVEY_TRY(manifest.mark.ledger.hash, lines.fixed<Digest>(ledger[1]));
  COVEY_TRY(const auto epoch, lines.words("epoch", 1));
  COVEY_TRY(manifest.mark.epoch, lines.number(epoch[0]));
  COVEY_TRY(const auto store, lines.words("store", 1));
  COVEY_TRY(manifest.mark.sequence, lines.number(store[0]));
  while (lines.next_is("file ")) {
    COVEY_TRY(BackupFile file, file_from(lines));
    if (!manifest.files.empty() && !(manifest.files.back().path < file.path))
      return lines.refused("the files are not in order");
    manifest.files.push_back(std::move(file));
  }
  COVEY_TRY_VOID(lines.words("sum", 1));
  if (!lines.done() || text != text_of(manifest)) return lines.refused("the sum of the lines before is another");
  return manifest;
}

Result<BackupManifest> verify_backup(const std::string& folder) {
  const std::string path = folder + "/" + kManifestName;
  auto bytes = read_file(path, kManifestBytesMax);
  if (!bytes && bytes.error().code == ErrorCode::kNotFound)
    return unexpected(ErrorCode::kNotFound, folder + " holds no backup (no file \"manifest\")");
  if (!bytes) return unexpected(bytes.error());
  auto manifest = manifest_from_text(text_of(*bytes));
  if (!manifest) return unexpected(in_context(path, manifest.error()));
  COVEY_TRY_VOID(check_files(folder, *manifest));
  COVEY_TRY_VOID(check_rows(folder, *manifest));
  return manifest;
}

}  // namespace covey
