// The writing half of tensor_files.h.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "core/base/check.h"
#include "core/base/wire.h"
#include "core/data/files.h"
#include "core/data/tensor_files.h"

namespace covey {
namespace {

std::uint64_t elements_of(const TensorToWrite& tensor) {
  std::uint64_t count = 1;
  for (const std::uint64_t dim : tensor.shape) COVEY_CHECK(!__builtin_mul_overflow(count, dim, &count));
  return count;
}
std::uint64_t bytes_of_tensor(const TensorToWrite& tensor) {
  return elements_of(tensor) * size_of(tensor.dtype);
}

// Which tensors, [first, end), lie in each file.
struct Stretch {
  std::size_t first = 0, end = 0;
};

std::vector<Stretch> split(const TensorWriting& writing) {
  std::vector<Stretch> stretches;
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < writing.tensors.size(); ++i) {
    const std::uint64_t more = bytes_of_tensor(writing.tensors[i]);
    if (stretches.empty() ||
        (bytes + more > writing.file_bytes_max && stretches.back().end != stretches.back().first)) {
      stretches.push_back({i, i});
      bytes = 0;
    }
    bytes += more;
    stretches.back().end = i + 1;
  }
  if (stretches.empty()) stretches.push_back({});
  return stretches;
}

Bytes header_of(const TensorWriting& writing, Stretch stretch) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!writing.metadata.empty()) header["__metadata__"] = writing.metadata;
  std::uint64_t at = 0;
  for (std::size_t i = stretch.first; i < stretch.end; ++i) {
    const TensorToWrite& tensor = writing.tensors[i];
    const std::uint64_t end = at + bytes_of_tensor(tensor);
    header[tensor.name] = {
        {"dtype", name_of(tensor.dtype)}, {"shape", tensor.shape}, {"data_offsets", {at, end}}};
    at = end;
  }
  // Text that is not UTF-8 could stop the export; it is replaced instead.
  std::string json = header.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  json.append((8 - json.size() % 8) % 8, ' ');
  ByteWriter writer;
  writer.u64(json.size()).raw(bytes_of(json));
  return writer.take();
}

Result<void> write_stretch(const std::string& path, const TensorWriting& writing, Stretch stretch,
                           const TensorSource& source) {
  COVEY_TRY(const FileDescriptor file, create_data_file(path));
  const Bytes header = header_of(writing, stretch);
  COVEY_TRY_VOID(write_at(file, 0, header, path));
  std::uint64_t at = header.size();
  for (std::size_t i = stretch.first; i < stretch.end; ++i) {
    COVEY_TRY(const std::vector<float> values, source(i));
    COVEY_CHECK(values.size() == elements_of(writing.tensors[i]));
    COVEY_TRY_VOID(check_fits(writing.tensors[i].name, values, writing.tensors[i].dtype));
    const Bytes bytes = narrow(values, writing.tensors[i].dtype);
    COVEY_TRY_VOID(write_at(file, at, bytes, path));
    at += bytes.size();
  }
  return sync_file(file, path);
}

std::string shard_name(std::size_t number, std::size_t count) {
  char name[64];
  std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", number, count);
  return name;
}

}  // namespace

Result<void> write_tensor_file(const std::string& path, const TensorWriting& writing,
                               const TensorSource& source) {
  return write_stretch(path, writing, {0, writing.tensors.size()}, source);
}

Result<void> write_tensor_files(const std::string& folder, const TensorWriting& writing,
                                const TensorSource& source) {
  for (const char* name : {kModelFile, kModelIndexFile})
    if (file_exists(folder + "/" + name))
      return unexpected(ErrorCode::kAlreadyExists,
                        folder + ": holds " + name + " already: name another folder");
  const std::vector<Stretch> stretches = split(writing);
  if (stretches.size() == 1) {
    COVEY_TRY_VOID(write_stretch(folder + "/" + kModelFile, writing, stretches[0], source));
    return sync_folder(folder);
  }
  nlohmann::json map = nlohmann::json::object();
  std::uint64_t bytes = 0;
  for (std::size_t s = 0; s < stretches.size(); ++s) {
    const std::string name = shard_name(s + 1, stretches.size());
    COVEY_TRY_VOID(write_stretch(folder + "/" + name, writing, stretches[s], source));
    for (std::size_t i = stretches[s].first; i < stretches[s].end; ++i) {
      map[writing.tensors[i].name] = name;
      bytes += bytes_of_tensor(writing.tensors[i]);
    }
  }
  const nlohmann::json index = {{"metadata", {{"total_size", bytes}}}, {"weight_map", map}};
  const std::string text = index.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  const std::string path = folder + "/" + kModelIndexFile;
  COVEY_TRY(const FileDescriptor file, create_data_file(path));
  COVEY_TRY_VOID(write_at(file, 0, bytes_of(text), path));
  COVEY_TRY_VOID(sync_file(file, path));
  return sync_folder(folder);
}

}  // namespace covey
