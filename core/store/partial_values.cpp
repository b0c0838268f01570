#include "core/store/partial_values.h"

#include <algorithm>
#include <array>
#include <filesystem>

#include "core/base/file.h"
#include "core/base/wire.h"

namespace covey {

Result<std::vector<BlobRef>> partial_values(const std::string& root) {
  constexpr std::string_view kRecord = ".hashes";
  const std::string folder = root + "/partial";
  std::vector<BlobRef> values;
  std::error_code error;
  std::filesystem::directory_iterator entry(folder, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (!name.ends_with(kRecord)) continue;
    const auto id = fixed_from_hex<Digest>(std::string_view(name).substr(0, name.size() - kRecord.size()));
    if (!id) continue;
    const auto file = open_file(folder + "/" + name, OpenMode::kRead);
    if (!file) continue;
    std::array<std::uint8_t, 8> size{};
    const auto got = read_at(*file, 0, size, name);
    if (got && *got == size.size()) values.push_back({*id, ByteReader(size).u64()});
  }
  if (error) return unexpected(system_error_of(error.value(), folder));
  std::sort(values.begin(), values.end(), [](const BlobRef& a, const BlobRef& b) { return a.id < b.id; });
  return values;
}

}  // namespace covey
