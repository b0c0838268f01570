// Windows of a stream of tokens as the examples of a batch: what was read last, in the order it was read.
#pragma once
#include <cstdint>
#include <vector>

#include "core/data/dataset.h"
#include "core/data/tokens/token_stream.h"

namespace covey {

class StreamedWindows final : public Dataset {
 public:
  StreamedWindows(TokenStream stream, std::uint32_t context, std::uint32_t count_max);

  // Examples 0 to count - 1, count at most count_max, are the stream's next windows. Errors: of TokenStream::next.
  Result<void> read(std::uint32_t count);
  const TokenCursor& cursor() const { return stream_.cursor(); }
  std::uint64_t passed_over() const { return stream_.passed_over(); }

  std::uint32_t size() const override { return count_; }
  Shape input_shape() const override { return {context_}; }
  DType input_dtype() const override { return DType::kI32; }
  Shape target_shape() const override { return {context_}; }
  void fill(std::span<const std::uint32_t> indices, const Minibatch& batch) const override;
  std::uint32_t label(std::uint32_t) const override { return 0; }
  std::uint32_t group(std::uint32_t) const override { return 0; }
  const std::vector<std::string>& groups() const override { return groups_; }

 private:
  TokenStream stream_;
  std::int64_t context_;
  std::uint32_t count_ = 0;
  std::vector<std::int32_t> inputs_, targets_;
  std::vector<std::string> groups_{"stream"};
};

}  // namespace covey
