#include "core/data/dataset.h"

#include "core/base/check.h"
#include "core/data/readers.h"
#include "core/data/tokens/token_stream.h"

namespace covey {
namespace {

Result<void> check_grouping(const LoadRequest& request) {
  const PartitionKind kind = request.grouping.kind;
  const DataFormat format = request.data.format;
  if (kind == PartitionKind::kRole && (format != DataFormat::kText || !request.data.tokenizer_sha256.empty()))
    return unexpected(ErrorCode::kInvalidArgument,
                      std::string("partition \"role\" needs text that is read as bytes, this is ") +
                          (format == DataFormat::kText ? "encoded" : name_of(format)) +
                          ": use \"iid\", \"dirichlet\", \"shards\" or \"file\"");
  if (kind == PartitionKind::kColumn && format != DataFormat::kCsv)
    return unexpected(ErrorCode::kInvalidArgument,
                      std::string("partition \"column\" needs csv data, this is ") + name_of(format) +
                          ": use \"iid\" or \"file\"");
  return {};
}

// Before files are opened: what a model and a tokenizer must be for data that are tokens.
Result<PackingSpec> packing_of(const LoadRequest& request) {
  const ModelSpec& model = request.model;
  if (model.family != ModelFamily::kTransformer)
    return unexpected(ErrorCode::kInvalidArgument,
                      std::string(name_of(request.data.format)) +
                          " data need model.family = \"transformer\", got \"" + name_of(model.family) + "\"");
  if (request.data.format != DataFormat::kTokens && request.tokenizer == nullptr) {
    if (!request.data.tokenizer_sha256.empty())
      return unexpected(ErrorCode::kNotFound, "the data are encoded with the tokenizer whose SHA-256 is " +
                                                  request.data.tokenizer_sha256 + ": name its tokenizer.json");
    if (model.vocabulary != 256)
      return unexpected(ErrorCode::kInvalidArgument,
                        "model.vocabulary = " + std::to_string(model.vocabulary) +
                            ", but text is read as bytes: set it to 256, or name a tokenizer");
  }
  return PackingSpec{.context = model.context,
                     .vocabulary = model.vocabulary,
                     .separator = request.data.separator,
                     .damaged_max = request.data.damaged_max};
}

Result<std::unique_ptr<Dataset>> load_documents(const LoadRequest& request) {
  COVEY_TRY(const PackingSpec packing, packing_of(request));
  if (request.data.format == DataFormat::kTokens) return load_tokens(request.path, packing);
  TextFiles text{TextForm::kWhole, request.data.field};
  if (request.data.format == DataFormat::kJsonl) text.form = TextForm::kLines;
  if (request.tokenizer != nullptr) return load_encoded_text(request.path, packing, text, *request.tokenizer);
  COVEY_TRY(const Tokenizer bytes, Tokenizer::make(byte_tokenizer()));
  return load_encoded_text(request.path, packing, text, bytes);
}

Shape with_batch(std::int64_t batch, const Shape& one) {
  switch (one.rank()) {
    case 0:
      return {batch};
    case 1:
      return {batch, one[0]};
    case 2:
      return {batch, one[0], one[1]};
    case 3:
      return {batch, one[0], one[1], one[2]};
    default:
      COVEY_CHECK(one.rank() < 4);
      return {};
  }
}

std::size_t elements_of(const Shape& one, std::uint32_t batch) {
  return static_cast<std::size_t>(one.elements()) * batch;
}

}  // namespace

Result<std::unique_ptr<Dataset>> load_dataset(const LoadRequest& request) {
  COVEY_TRY_VOID(request.data.validate());
  COVEY_TRY_VOID(request.grouping.validate());
  COVEY_TRY_VOID(check_grouping(request));
  switch (request.data.format) {
    case DataFormat::kText:
      if (request.tokenizer == nullptr && request.data.tokenizer_sha256.empty()) return load_text(request);
      return load_documents(request);
    case DataFormat::kJsonl:
    case DataFormat::kTokens:
      return load_documents(request);
    case DataFormat::kIdx:
      return load_idx(request);
    case DataFormat::kCsv:
      return load_csv(request);
  }
  return unexpected(ErrorCode::kInvalidArgument, "data.format is none of text, idx, csv, jsonl, tokens");
}

BatchBuffer::BatchBuffer(const Dataset& data, std::uint32_t batch) : data_(data) {
  COVEY_CHECK(batch > 0);
  const std::size_t inputs = elements_of(data.input_shape(), batch);
  COVEY_CHECK(data.input_dtype() == DType::kF32 || data.input_dtype() == DType::kI32);
  if (data.input_dtype() == DType::kF32)
    f32_.resize(inputs);
  else
    i32_.resize(inputs);
  targets_.resize(elements_of(data.target_shape(), batch));
}

Minibatch BatchBuffer::fill(std::span<const std::uint32_t> indices) {
  const auto count = static_cast<std::int64_t>(indices.size());
  const Shape inputs = with_batch(count, data_.input_shape());
  const Shape targets = with_batch(count, data_.target_shape());
  COVEY_CHECK(static_cast<std::size_t>(targets.elements()) <= targets_.size());
  void* values =
      data_.input_dtype() == DType::kF32 ? static_cast<void*>(f32_.data()) : static_cast<void*>(i32_.data());
  const Minibatch batch{{values, inputs, data_.input_dtype(), Device::kCpu},
                        {targets_.data(), targets, DType::kI32, Device::kCpu}};
  data_.fill(indices, batch);
  if (change_) change_(indices, batch);
  return batch;
}

}  // namespace covey
