#include "core/nn/flops.h"

#include <algorithm>

#include "core/spec/parameter_table.h"

namespace covey {
namespace {

enum class Inward : std::uint8_t { kSkip, kCompute };  // the gradient of a product's input

class Counter {
 public:
  Counter(const ModelSpec& spec, const std::vector<std::string>& frozen)
      : spec_(spec), table_(parameter_table(spec)), trained_(trained_ranges(spec, frozen)) {}

  ProductFlops transformer() {
    const std::uint32_t first = first_block();
    for (const ParameterInfo& info : table_.parameters) {
      if (info.shape.size() != 2) continue;
      const std::string& shard = table_.shards[info.shard].name;
      if (shard == "embedding") continue;  // looked up, and counted below where it is the head
      const bool reached = shard == "head" || block_of(shard) >= first;
      product(std::uint64_t{spec_.context} * info.size, reached && trained(info), reached ? Inward::kCompute : Inward::kSkip);
    }
    const ParameterInfo& embedding = table_.parameters.front();
    if (spec_.tied_head) product(std::uint64_t{spec_.context} * embedding.size, trained(embedding), Inward::kCompute);
    // Scores and sums of values, each query against the keys up to its own.
    const std::uint64_t pairs = std::uint64_t{spec_.context} * (spec_.context + 1) / 2;
    const std::uint64_t of_block = 2 * 2 * pairs * spec_.width;
    flops_.forward += of_block * spec_.layers;
    flops_.backward += 2 * of_block * (spec_.layers - std::min(first, spec_.layers));
    return flops_;
  }

  ProductFlops layers() {
    bool first = true;
    std::size_t convolutions = 0;
    for (const ParameterInfo& info : table_.parameters) {
      if (info.shape.size() < 2) continue;
      const std::uint64_t times = info.shape.size() == 4 ? plane(convolutions++) : 1;
      product(times * info.size, trained(info), first ? Inward::kSkip : Inward::kCompute);
      first = false;
    }
    return flops_;
  }

 private:
  void product(std::uint64_t multiplications, bool weight, Inward input) {
    flops_.forward += 2 * multiplications;
    flops_.backward += 2 * multiplications * ((weight ? 1 : 0) + (input == Inward::kCompute ? 1 : 0));
  }

  // Pixels that the convolution writes, what its padding multiplies included.
  std::uint64_t plane(std::size_t convolution) const {
    // Of separable blocks all but the first have two.
    const std::size_t block = spec_.blocks == CnnBlocks::kSeparable ? (convolution + 1) / 2 : convolution;
    return (std::uint64_t{spec_.image_height} >> block) * (std::uint64_t{spec_.image_width} >> block);
  }

  bool trained(const ParameterInfo& info) const {
    return std::any_of(trained_.begin(), trained_.end(), [&](const ParameterRange& range) {
      return info.offset >= range.offset && info.offset < range.offset + range.size;
    });
  }

  static std::uint32_t block_of(const std::string& shard) {  // "layers.3", "adapters.3"
    return static_cast<std::uint32_t>(std::stoul(shard.substr(shard.find('.') + 1)));
  }

  // The first block that a gradient must reach.
  std::uint32_t first_block() const {
    std::uint32_t first = spec_.layers;
    for (const ParameterInfo& info : table_.parameters) {
      const std::string& shard = table_.shards[info.shard].name;
      if (shard == "head" || !trained(info)) continue;
      first = std::min(first, shard == "embedding" ? 0 : block_of(shard));
    }
    return first;
  }

  ModelSpec spec_;
  ParameterTable table_;
  std::vector<ParameterRange> trained_;
  ProductFlops flops_;
};

}  // namespace

ProductFlops product_flops(const ModelSpec& spec, const std::vector<std::string>& frozen) {
  Counter counter(spec, frozen);
  return spec.family == ModelFamily::kTransformer ? counter.transformer() : counter.layers();
}

}  // namespace covey
