// A client's data as numbered examples. Loading checks everything once; filling a batch cannot fail.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/base/random.h"
#include "core/base/result.h"
#include "core/spec/data_spec.h"
#include "core/spec/model_spec.h"
#include "core/tensor/minibatch.h"

namespace covey {

class Tokenizer;

using Indices = std::vector<std::uint32_t>;

class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual std::uint32_t size() const = 0;  // examples: windows of text, images, rows

  // Shape of one example's input (without the batch dimension) and of its targets.
  virtual Shape input_shape() const = 0;
  virtual DType input_dtype() const = 0;
  virtual Shape target_shape() const = 0;  // {} for one class, {T} for tokens
  // Writes examples[indices] into `batch`, whose first dimension equals indices.size().
  virtual void fill(std::span<const std::uint32_t> indices, const Minibatch& batch) const = 0;

  // Class of an example (Dirichlet and shard partitions); 0 where there are none.
  virtual std::uint32_t label(std::uint32_t index) const = 0;
  // Which file, column value or speaking role an example comes from, as an index into groups().
  virtual std::uint32_t group(std::uint32_t index) const = 0;
  virtual const std::vector<std::string>& groups() const = 0;
  virtual std::uint64_t damaged() const { return 0; }  // records or lines that were passed over
};

// Loads what `path` holds in the form that `data` says, shaped for `model`. For text, `path` is a
// file or a folder (every regular file below it, byte level, windows of model.context + 1 within a
// file, the last one padded with targets of -1); for idx, a folder with *-images-idx3-ubyte[.gz] and
// *-labels-idx1-ubyte[.gz], pixels scaled to [0, 1]; for csv, a file or a folder of *.csv (how rows
// are encoded: csv_dataset.cpp). Symbolic links below a folder are not followed.
// For jsonl, a file or a folder of *.jsonl, the documents of a file packed behind one another; for tokens, a file
// or a folder of *.tokens (tokens/token_stream.h), all in memory.
// `grouping` says what group() means: by role, each speaking role of dialogue (dialogue.h), and
// windows within what it says; by column, each value of that column; otherwise each file.
// Errors, each naming the path and the remedy: kNotFound, kInvalidData (empty, NaN, bad magic,
// wrong number of columns with the line's number, label out of range), kInvalidArgument (a model
// that does not fit the data, with both sizes).
struct LoadRequest {
  std::string path;
  DataSpec data;
  ModelSpec model;
  PartitionSpec grouping = {};
  // Encodes text and jsonl; null: they are read as bytes, unless the data pin a tokenizer, which is an error then.
  // That it is the pinned one, the caller has checked.
  const Tokenizer* tokenizer = nullptr;
};
Result<std::unique_ptr<Dataset>> load_dataset(const LoadRequest& request);

// Divides all examples among `clients`, each possibly empty; indices ascend. By file, column or
// role, groups are dealt whole, largest first to the client with least. Dirichlet: each class's
// examples are cut by shares of the clients drawn from Dir(alpha) (Li et al. 2022, NIID-Bench).
// Errors: kInvalidArgument when the kind does not fit the data or the number of clients.
Result<std::vector<Indices>> partition(const Dataset& data, const PartitionSpec& spec,
                                       std::uint32_t clients, Random random);

struct Split {
  Indices train;
  Indices holdout;
};
// A seeded share of `indices` held out; at least one each when there are two or more, and none when
// `holdout` is 0.
Split split_holdout(const Indices& indices, double holdout, Random random);

// Owns the memory of a minibatch of up to `batch` examples of `data`.
class BatchBuffer {
 public:
  BatchBuffer(const Dataset& data, std::uint32_t batch);  // `data` outlives this
  Minibatch fill(std::span<const std::uint32_t> indices);
  // Changes what each fill() gives, before it is seen; none: as the data are.
  using Change = std::function<void(std::span<const std::uint32_t> indices, const Minibatch& batch)>;
  void on_fill(Change change) { change_ = std::move(change); }

 private:
  const Dataset& data_;
  Change change_;
  std::vector<float> f32_;
  std::vector<std::int32_t> i32_;
  std::vector<std::int32_t> targets_;
};

}  // namespace covey
