#include "core/data/tensor_files.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/data/files.h"
#include "core/data/json_text.h"

namespace covey {
namespace {

constexpr std::uint64_t kIndexBytesMax = 64 << 20;
constexpr std::size_t kShardFilesMax = 10'000;
constexpr std::size_t kFileNameMax = 200;
constexpr std::size_t kBlockElements = 1 << 18;  // converted at a time

Unexpected invalid(std::string message) { return unexpected(ErrorCode::kInvalidData, std::move(message)); }

Result<void> read_exactly(const FileDescriptor& file, std::uint64_t offset, std::span<std::uint8_t> out,
                          const std::string& path) {
  COVEY_TRY(const std::size_t got, read_at(file, offset, out, path));
  if (got != out.size())
    return invalid(path + ": changed while it was read: try again when nothing writes to it");
  return {};
}

// A name that stays in its folder, is not hidden, and is what the format says.
bool plain_name(std::string_view name) {
  constexpr std::string_view kEnd = ".safetensors";
  if (name.size() <= kEnd.size() || name.size() > kFileNameMax || !name.ends_with(kEnd)) return false;
  return name.front() != '.' && std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                  c == '_' || c == '.';
         });
}

}  // namespace

TensorFile::TensorFile(FileDescriptor file, std::string path, std::uint64_t data_begin,
                       SafetensorsLayout layout)
    : file_(std::move(file)), path_(std::move(path)), data_begin_(data_begin), layout_(std::move(layout)) {}

Result<TensorFile> TensorFile::open(const std::string& path) {
  COVEY_TRY(const FileList one, list_files(path));  // a FIFO or a folder is refused before it is opened
  if (one.files.size() != 1 || one.files[0].path != path)
    return invalid(shown(path, 300) + " is a folder, a safetensors file is needed");
  COVEY_TRY(FileDescriptor file, open_file(path, OpenMode::kRead));
  COVEY_TRY(const std::uint64_t bytes, file_size(file, path));
  Bytes length(8);
  COVEY_TRY(const std::size_t got, read_at(file, 0, length, path));
  length.resize(got);
  auto header_bytes = safetensors_header_bytes(length, bytes);
  if (!header_bytes) return unexpected(in_context(path, header_bytes.error()));
  Bytes json(*header_bytes);
  COVEY_TRY_VOID(read_exactly(file, 8, json, path));
  auto layout = safetensors_layout(text_of(json), bytes - 8 - *header_bytes);
  if (!layout) return unexpected(in_context(path, layout.error()));
  return TensorFile(std::move(file), path, 8 + *header_bytes, std::move(*layout));
}

Result<void> TensorFile::read(const TensorPlace& place, std::uint64_t first, std::span<float> out) const {
  COVEY_CHECK(first <= place.elements && out.size() <= place.elements - first);
  auto readable = check_readable(place);
  if (!readable) return unexpected(in_context(path_, readable.error()));
  const std::size_t each = size_of(place.dtype);
  Bytes block;
  for (std::size_t done = 0; done < out.size();) {
    const std::size_t count = std::min(kBlockElements, out.size() - done);
    block.resize(count * each);
    COVEY_TRY_VOID(read_exactly(file_, data_begin_ + place.begin + (first + done) * each, block, path_));
    widen(block, place.dtype, out.subspan(done, count));
    done += count;
  }
  return {};
}

Result<void> TensorFile::read_bf16(const TensorPlace& place, std::uint64_t first,
                                   std::span<std::uint16_t> out) const {
  COVEY_CHECK(first <= place.elements && out.size() <= place.elements - first);
  if (place.dtype == FileDType::kBF16) {  // as they lie
    const std::span<std::uint8_t> bytes(reinterpret_cast<std::uint8_t*>(out.data()), out.size_bytes());
    return read_exactly(file_, data_begin_ + place.begin + first * 2, bytes, path_);
  }
  std::vector<float> block;
  for (std::size_t done = 0; done < out.size();) {
    block.resize(std::min(kBlockElements, out.size() - done));
    COVEY_TRY_VOID(read(place, first + done, block));
    std::transform(block.begin(), block.end(), out.begin() + static_cast<std::ptrdiff_t>(done),
                   narrowed_bf16);
    done += block.size();
  }
  return {};
}

Result<ShardIndex> parse_shard_index(std::string_view json) {
  COVEY_TRY(const nlohmann::json index, parse_json(json, {.depth_max = 8}));
  const nlohmann::json* map = find_member(index, "weight_map");
  if (map == nullptr || !map->is_object() || map->empty())
    return invalid("weight_map, an object of tensor names and files, is missing or empty");
  ShardIndex result;
  std::map<std::string_view, int> distinct;
  for (const auto& [name, file] : map->items()) {
    if (!file.is_string() || !plain_name(file.get_ref<const std::string&>()))
      return invalid("weight_map places tensor " + shown(name) + " in " + shown_json(file) +
                     ": a plain name that ends in .safetensors is needed, of at most " +
                     std::to_string(kFileNameMax) + " letters, digits, '-', '_' and '.'");
    distinct[file.get_ref<const std::string&>()] = 1;
    if (distinct.size() > kShardFilesMax)
      return invalid("weight_map names more than " + std::to_string(kShardFilesMax) + " files");
    result.files.emplace(name, file.get<std::string>());
  }
  return result;
}

Result<void> TensorFolder::add(const std::string& folder, const std::string& name) {
  const std::string path = folder + "/" + name;
  COVEY_TRY(TensorFile file, TensorFile::open(path));
  for (std::size_t i = 0; i < file.layout().tensors.size(); ++i) {
    const std::string& tensor = file.layout().tensors[i].name;
    if (!places_.emplace(tensor, Where{files_.size(), i}).second)
      return invalid(path + ": tensor " + shown(tensor) + " is in another file of the folder too");
  }
  files_.push_back(std::move(file));
  return {};
}

Result<TensorFolder> TensorFolder::open(const std::string& folder) {
  TensorFolder result;
  const std::string index_path = folder + "/" + kModelIndexFile;
  // As transformers: the single file first.
  if (file_exists(folder + "/" + kModelFile)) {
    COVEY_TRY_VOID(result.add(folder, kModelFile));
    return result;
  }
  if (!file_exists(index_path))
    return unexpected(ErrorCode::kNotFound, shown(folder, 300) + " holds neither " + kModelFile + " nor " +
                                                kModelIndexFile + ": convert the model to safetensors");
  COVEY_TRY(const Bytes text, read_data_file(index_path, kIndexBytesMax));
  auto index = parse_shard_index(text_of(text));
  if (!index) return unexpected(in_context(index_path, index.error()));
  std::map<std::string, std::size_t> opened;
  for (const auto& [tensor, file] : index->files) {
    if (opened.contains(file)) continue;
    opened.emplace(file, result.files_.size());
    COVEY_TRY_VOID(result.add(folder, file));
  }
  for (const auto& [tensor, file] : index->files) {
    const auto at = result.places_.find(tensor);
    if (at == result.places_.end() || at->second.file != opened.at(file))
      return invalid(index_path + ": places tensor " + shown(tensor) + " in " + file + ", which lacks it");
  }
  if (result.places_.size() != index->files.size())
    for (const auto& [tensor, where] : result.places_)
      if (!index->files.contains(tensor))
        return invalid(index_path + ": does not name tensor " + shown(tensor) +
                       ", which one of its files holds");
  return result;
}

const TensorPlace* TensorFolder::find(const std::string& name) const {
  const auto at = places_.find(name);
  return at == places_.end() ? nullptr : &files_[at->second.file].layout().tensors[at->second.tensor];
}

std::vector<std::string> TensorFolder::names() const {
  std::vector<std::string> all;
  for (const auto& [name, where] : places_) all.push_back(name);
  return all;
}

Result<std::vector<float>> TensorFolder::read(const std::string& name) const {
  const TensorPlace* place = find(name);
  COVEY_CHECK(place != nullptr);
  std::vector<float> values(place->elements);
  COVEY_TRY_VOID(files_[places_.at(name).file].read(*place, 0, values));
  return values;
}

Result<std::vector<std::uint16_t>> TensorFolder::read_bf16(const std::string& name) const {
  const TensorPlace* place = find(name);
  COVEY_CHECK(place != nullptr);
  std::vector<std::uint16_t> values(place->elements);
  COVEY_TRY_VOID(files_[places_.at(name).file].read_bf16(*place, 0, values));
  return values;
}

}  // namespace covey
