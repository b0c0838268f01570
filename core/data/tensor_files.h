// A model's tensors in safetensors files on a disk, one file or several with an index
// (`model.safetensors.index.json`, as transformers writes it), read and written a tensor at a time, so
// that a model larger than the memory passes through.
#pragma once
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/base/file.h"
#include "core/data/safetensors_layout.h"

namespace covey {

inline constexpr const char* kModelFile = "model.safetensors";
inline constexpr const char* kModelIndexFile = "model.safetensors.index.json";

// One open file. Its header was checked when it was opened; a file that shrinks later is an error of
// read(), never a crash.
class TensorFile {
 public:
  // Errors: kNotFound, kInvalidData (safetensors_layout.h), each with the path.
  static Result<TensorFile> open(const std::string& path);
  const SafetensorsLayout& layout() const { return layout_; }

  // Elements [first, first + out.size()) of the tensor, widened to f32, or rounded to bf16.
  // Errors: kInvalidData (a dtype that is not read, a file that changed).
  Result<void> read(const TensorPlace& place, std::uint64_t first, std::span<float> out) const;
  Result<void> read_bf16(const TensorPlace& place, std::uint64_t first, std::span<std::uint16_t> out) const;

 private:
  TensorFile(FileDescriptor file, std::string path, std::uint64_t data_begin, SafetensorsLayout layout);
  FileDescriptor file_;
  std::string path_;
  std::uint64_t data_begin_ = 0;  // bytes
  SafetensorsLayout layout_;
};

// name of each tensor -> file it lies in.
struct ShardIndex {
  std::map<std::string, std::string> files;
  bool operator==(const ShardIndex&) const = default;
};
// Errors: kInvalidData (not JSON, another structure, a file's name that is no plain *.safetensors: a
// name with a folder in it would lead outside).
Result<ShardIndex> parse_shard_index(std::string_view json);

// All tensors of a folder: of model.safetensors, or of the files that its index names.
class TensorFolder {
 public:
  // Errors: kNotFound (neither file is there), kInvalidData (also: a tensor that the index places in a
  // file which lacks it, or that two files hold).
  static Result<TensorFolder> open(const std::string& folder);

  const TensorPlace* find(const std::string& name) const;  // nullptr: not there
  std::vector<std::string> names() const;                  // ascending
  // As TensorFile's; `name` must be there.
  Result<std::vector<float>> read(const std::string& name) const;
  Result<std::vector<std::uint16_t>> read_bf16(const std::string& name) const;

 private:
  struct Where {
    std::size_t file = 0, tensor = 0;
  };
  Result<void> add(const std::string& folder, const std::string& name);
  std::vector<TensorFile> files_;
  std::map<std::string, Where> places_;
};

struct TensorToWrite {
  std::string name;
  FileDType dtype = FileDType::kF32;  // F32, F16 or BF16
  std::vector<std::uint64_t> shape;
};
struct TensorWriting {
  std::vector<TensorToWrite> tensors;            // names differ; written in this order
  std::map<std::string, std::string> metadata;   // transformers needs {"format": "pt"}
  std::uint64_t file_bytes_max = 5'000'000'000;  // a file holds one tensor at least
};
// The f32 values of tensors[index], asked for once each, in order.
using TensorSource = std::function<Result<std::vector<float>>(std::size_t index)>;

// Writes model.safetensors into `folder`, which exists, or where that would be longer than
// `file_bytes_max`, model-00001-of-0000N.safetensors and so on, then their index. All synced.
// Errors: of the source; kAlreadyExists for a file that is there; kDiskFull and the like. What was
// written before an error stays.
Result<void> write_tensor_files(const std::string& folder, const TensorWriting& writing,
                                const TensorSource& source);
// One such file of any name.
Result<void> write_tensor_file(const std::string& path, const TensorWriting& writing,
                               const TensorSource& source);

}  // namespace covey
