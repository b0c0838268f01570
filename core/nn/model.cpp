#include "core/nn/model.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <new>
#include <string>
#include <utility>

#include "core/nn/example_book.h"
#include "core/nn/model_layers.h"

namespace covey {
namespace {

constexpr std::int64_t kBatchMax = 65'536;
constexpr unsigned kPartBits = 12;  // of the number of a step's parts, in the coins

// Linux grants more than there is and kills whoever touches it, so the plan is held against this.
std::size_t physical_memory_bytes() {
  const long pages = sysconf(_SC_PHYS_PAGES);
  const long page_bytes = sysconf(_SC_PAGESIZE);
  COVEY_CHECK(pages > 0 && page_bytes > 0);
  return static_cast<std::size_t>(pages) * static_cast<std::size_t>(page_bytes);
}

bool computes_in(const ModelSpec& spec, DType activations) {
  if (activations == DType::kF32 || spec.family == ModelFamily::kTransformer) return true;
  // Depth-wise convolutions and group norms are f32.
  return activations == DType::kBf16 && spec.family == ModelFamily::kCnn && spec.blocks != CnnBlocks::kSeparable;
}

Result<void> check(const ModelSpec& spec, const ModelOptions& options) {
  COVEY_TRY_VOID(spec.validate());
  if (options.batch < 1 || options.batch > kBatchMax)
    return unexpected(ErrorCode::kInvalidArgument,
                      "batch = " + std::to_string(options.batch) + ": must lie in [1, " +
                          std::to_string(kBatchMax) + "]");
  if (!computes_in(spec, options.activations))
    return unexpected(ErrorCode::kUnsupported, std::string("activations in ") + name_of(options.activations) +
                                                   ": such a \"" + name_of(spec.family) +
                                                   "\" does not compute in them; set train.precision = \"f32\" or \"auto\"");
  if (trained_ranges(spec, options.frozen).empty())
    return unexpected(ErrorCode::kInvalidArgument, "train.frozen leaves nothing to train; remove an entry");
  if (options.per_example_clip > 0 && options.activations == DType::kF16)
    return unexpected(ErrorCode::kUnsupported,
                      "train.per_example_clip with train.precision = \"fp16\": norms would be of scaled gradients that may "
                      "overflow; use \"bf16\" or \"f32\"");
  COVEY_CHECK(options.per_example_clip >= 0 && std::isfinite(options.per_example_clip));
  COVEY_CHECK(is_real(options.activations) && options.checkpointing != Checkpointing::kAuto);
  COVEY_CHECK(options.frozen_storage != FrozenStorage::kAuto);
  if (options.frozen_storage != FrozenStorage::kF32 && frozen_weights(spec, options.frozen).empty())
    return unexpected(ErrorCode::kInvalidArgument, std::string("train.frozen_storage = \"") + name_of(options.frozen_storage) +
                                                       "\": no weight of a block is frozen; use \"f32\" or \"auto\"");
  return {};
}

class LayeredModel final : public Model {
 public:
  LayeredModel(const ModelSpec& spec, const ModelOptions& options, Ops* ops)
      : spec_(spec), options_(options), ops_(ops), table_(parameter_table(spec)),
        held_(held_ranges(spec, options, table_)), trained_(trained_ranges(spec, options.frozen)) {
    largest_ = {options.batch, is_transformer() ? std::int64_t{spec.context} : 1};
  }

  // Bytes in all, without taking them.
  std::size_t measure() {
    Arena flat, activations;
    take_flat(flat);
    build(nullptr, nullptr);
    plan_layers(activations);
    activation_bytes_ = activations.used();
    return flat.used() + activations.used() + widened_bytes();
  }

  // Error: kResourceExhausted if the activations do not fit into memory.
  Result<void> make() {
    measure();
    if (activation_bytes_ > physical_memory_bytes()) return too_large(activation_bytes_);
    Arena measuring;
    take_flat(measuring);
    flat_ = Arena(measuring.used());
    take_flat(flat_);
    try {
      arena_ = Arena(activation_bytes_);
    } catch (const std::bad_alloc&) {
      return too_large(activation_bytes_);
    }
    build(parameters_.f32(), gradients_.f32());
    find_sets();
    plan_layers(arena_);
    return {};
  }

  const ParameterTable& table() const override { return table_; }
  const std::vector<ParameterRange>& held() const override { return held_; }
  const std::vector<ParameterRange>& trained() const override { return trained_; }

  void load(std::span<const float> all) override {
    COVEY_CHECK(all.size() == table_.size);
    const std::span<float> flat = parameters();
    std::size_t at = 0;
    for (const ParameterRange& range : held_) {
      std::copy_n(all.begin() + static_cast<std::ptrdiff_t>(range.offset), range.size, flat.begin() + static_cast<std::ptrdiff_t>(at));
      at += range.size;
    }
    for (const StoredWeight& stored : stored_) {
      const ParameterInfo& info = table_.parameters[stored.index];
      // The operations read it alone, but Tensor has no constant form.
      const Tensor whole = tensor_of(std::span(const_cast<float*>(all.data()) + info.offset, info.size), stored.value.shape);
      if (stored.value.dtype == DType::kI8)
        ops_->quantize_rows(whole, stored.value, stored.scales);
      else
        ops_->convert(whole, stored.value);
    }
  }

  std::span<float> parameters() override { return parameters_.floats(); }
  std::span<float> gradients() override {
    if (first_pass_) clear_gradients(false);
    return gradients_.floats();
  }
  double gradient_squares() override {
    if (first_pass_) clear_gradients(false);
    double squares = only_pass_ ? set_squares_ : 0;
    const auto counted = [&](const SetFirst& set) { return only_pass_ && !set.added_to; };
    but_for(counted, [&](Tensor rest) { squares += ops_->squared_norm(rest); });
    return squares;
  }

  Tensor logits(const Minibatch& batch) override {
    const Pass pass = pass_of(batch);
    return model_.head->logits(pass, forward(pass, batch));
  }

  BatchStats evaluate(const Minibatch& batch) override {
    const Pass pass = pass_of(batch);
    const LossCall call = call_of(batch, pass, {0, 0});
    BatchStats stats{0, count(call.targets), 0};
    stats.correct = model_.head->loss(pass, forward(pass, batch), call);
    add_losses(stats, call);
    return stats;
  }

  BatchStats forward_backward(const Minibatch& batch) override {
    begin_step(0, next_step_++);
    const std::int64_t parts = clips() ? batch.inputs.dim(0) : std::max<std::int64_t>(counted_targets(batch), 1);
    return add_gradients(batch, 1 / static_cast<double>(parts));
  }

  void begin_step(std::uint64_t seed, std::uint64_t step) override {
    first_pass_ = true;
    only_pass_ = false;
    coins_ = {true, seed, step << kPartBits};
  }

  BatchStats add_gradients(const Minibatch& batch, double scale) override {
    Pass pass = pass_of(batch);
    pass.coins = coins_;
    ++coins_.step;
    only_pass_ = first_pass_ && (!clips() || book_.keeps());
    set_squares_ = 0;
    if (only_pass_) pass.set_squares = &set_squares_;
    if (first_pass_) clear_gradients(only_pass_);
    if (clips()) {
      book_.begin(*ops_, pass.extent);
      pass.book = &book_;
    }
    const LossCall call = call_of(batch, pass, {clips() ? 1.0F : static_cast<float>(scale), options_.label_smoothing});
    BatchStats stats{0, count(call.targets), 0};
    const Tensor last = forward(pass, batch);
    backward_layers(pass, model_.head->backward(pass, last, call, stats.correct));
    add_losses(stats, call);
    if (clips()) add_clipped(pass, last, call.targets, scale);
    return stats;
  }

  std::span<const float> example_norms() const override { return book_.norms(); }

 private:
  bool clips() const { return options_.per_example_clip > 0; }

  void clear_gradients(bool but_set) {
    first_pass_ = false;
    but_for([&](const SetFirst&) { return but_set; }, [&](Tensor rest) { ops_->fill(rest, 0); });
  }

  // work(stretch) of the gradients, but for those that layers set themselves and without() is true of.
  template <class Without, class Work>
  void but_for(Without without, Work work) {
    std::size_t begin = 0;
    const auto up_to = [&](std::size_t end) {
      if (end > begin) work(tensor_of(gradients_.floats().subspan(begin, end - begin), {static_cast<std::int64_t>(end - begin)}));
    };
    for (const SetFirst& set : sets_) {
      if (!without(set)) continue;
      const auto at = static_cast<std::size_t>(set.gradient.f32() - gradients_.f32());
      COVEY_CHECK(at >= begin);
      up_to(at);
      begin = at + static_cast<std::size_t>(set.gradient.elements());
    }
    up_to(gradients_.floats().size());
  }

  // In the order of the gradients. With a book blocks and heads of tokens set nothing.
  void find_sets() {
    sets_.clear();
    for (const auto& layer : model_.layers) sets_.push_back({layer->set_first()});
    if (!clips()) {
      for (const TransformerBlock* block : model_.blocks) block->set_first(sets_);
      sets_.push_back(model_.head->set_first());
    }
    std::erase_if(sets_, [](const SetFirst& set) { return set.gradient.empty(); });
    std::sort(sets_.begin(), sets_.end(), [](const SetFirst& a, const SetFirst& b) { return a.gradient.f32() < b.gradient.f32(); });
  }

  void backward_layers(const Pass& pass, Tensor gradient) {
    for (std::size_t i = model_.layers.size(); i-- > first_trained_;)
      gradient = model_.layers[i]->backward(pass, gradient);
  }

  // After a backward pass with the book. `last` is what the head was given.
  void add_clipped(Pass pass, Tensor last, Tensor targets, double scale) {
    const std::int64_t length = pass.extent.length;
    target_scales_.clear();
    for (std::int64_t example = 0; example < pass.extent.batch; ++example) {
      const auto own = targets.ints().subspan(static_cast<std::size_t>(example * length), static_cast<std::size_t>(length));
      const auto counted = std::count_if(own.begin(), own.end(), [](std::int32_t target) { return target >= 0; });
      target_scales_.push_back(1 / static_cast<double>(std::max<std::ptrdiff_t>(counted, 1)));
    }
    book_.clip(target_scales_, options_.per_example_clip, scale);
    if (book_.keeps()) {
      set_squares_ = book_.add_clipped();
      return;
    }
    pass.book = nullptr;
    backward_layers(pass, model_.head->backward_again(pass, last, book_.factors()));
  }

  bool is_transformer() const { return spec_.family == ModelFamily::kTransformer; }
  bool converts() const { return !is_transformer() && options_.activations != DType::kF32; }  // its inputs, f32
  std::int64_t features() const { return std::int64_t{spec_.image_channels} * spec_.image_height * spec_.image_width; }
  std::int64_t outputs() const { return is_transformer() ? spec_.vocabulary : spec_.classes; }

  static std::vector<ParameterRange> held_ranges(const ModelSpec& spec, const ModelOptions& options, const ParameterTable& table) {
    std::vector<ParameterRange> ranges{{0, 0}};
    if (options.frozen_storage != FrozenStorage::kF32) {
      for (const std::size_t index : frozen_weights(spec, options.frozen)) {
        const ParameterInfo& info = table.parameters[index];
        ranges.back().size = info.offset - ranges.back().offset;
        if (ranges.back().size == 0) ranges.pop_back();
        ranges.push_back({info.offset + info.size, 0});
      }
    }
    ranges.back().size = table.size - ranges.back().offset;
    if (ranges.back().size == 0) ranges.pop_back();
    return ranges;
  }

  void take_flat(Arena& arena) {
    parameters_ = arena.take({static_cast<std::int64_t>(size_of(held_))});
    gradients_ = arena.take({static_cast<std::int64_t>(size_of(trained_))});
    stored_.clear();
    if (options_.frozen_storage == FrozenStorage::kF32) return;
    const bool bytes = options_.frozen_storage == FrozenStorage::kInt8;
    for (const std::size_t index : frozen_weights(spec_, options_.frozen)) {
      const std::vector<std::uint32_t>& shape = table_.parameters[index].shape;
      const Tensor value = arena.take({shape[0], shape[1]}, bytes ? DType::kI8 : DType::kBf16);
      stored_.push_back({index, value, bytes ? arena.take({shape[0]}) : Tensor{}});
    }
  }

  // An operation on bytes makes one weight at a time f32.
  std::size_t widened_bytes() const {
    std::size_t most = 0;
    for (const StoredWeight& stored : stored_)
      if (stored.value.dtype == DType::kI8) most = std::max(most, static_cast<std::size_t>(stored.value.elements()) * sizeof(float));
    return most;
  }

  void build(float* parameters, float* gradients) {
    model_ = model_layers(spec_, options_, {table_, held_, trained_, stored_, parameters, gradients});
    first_trained_ = 0;
    while (first_trained_ < model_.layers.size() && !model_.layers[first_trained_]->trained()) ++first_trained_;
  }

  void plan_layers(Arena& arena) {
    workspace_ = Workspace(options_.activations);
    // Blocks can go backward twice; other layers overwrite what they kept.
    const bool twice = is_transformer() && options_.checkpointing == Checkpointing::kBlock;
    book_ = ExampleBook(twice ? BookKind::kNorms : BookKind::kKeep);
    const Plan plan{largest_, options_.activations, arena, workspace_, clips() ? &book_ : nullptr};
    if (converts()) inputs_ = plan.activation({largest_.batch, features()});
    for (const auto& layer : model_.layers) layer->plan(plan);
    if (options_.checkpointing == Checkpointing::kBlock) plan_shared(plan);
    model_.head->plan(plan);
    losses_ = arena.take({largest_.rows()});
    if (clips()) book_.take_from(plan);
    workspace_.take_from(arena);
  }

  // What is computed again lies in the same memory for every block.
  void plan_shared(const Plan& plan) {
    const std::size_t begin = plan.arena.used();
    std::size_t end = begin;
    for (TransformerBlock* block : model_.blocks) {
      plan.arena.rewind(begin);
      block->plan_inside(plan);
      end = std::max(end, plan.arena.used());
    }
    plan.arena.rewind(begin);
    plan.arena.take({static_cast<std::int64_t>(end - begin)}, DType::kU8);
  }

  Unexpected too_large(std::size_t bytes) const {
    return unexpected(ErrorCode::kResourceExhausted,
                      "the model's activations take " + std::to_string(bytes >> 20) +
                          " MiB at train.batch_size = " + std::to_string(largest_.batch) +
                          ": more than there is; try a smaller batch or model");
  }

  Pass pass_of(const Minibatch& batch) const {
    const Tensor& inputs = batch.inputs;
    COVEY_CHECK(inputs.shape.rank() >= 2);
    Extent extent{inputs.dim(0), 1};
    if (is_transformer()) {
      COVEY_CHECK(inputs.shape.rank() == 2 && inputs.dtype == DType::kI32);
      extent.length = inputs.dim(1);
      for (const std::int32_t token : inputs.ints())
        COVEY_CHECK(token >= 0 && token < outputs());
    }
    COVEY_CHECK(extent.batch > 0 && extent.batch <= largest_.batch);
    COVEY_CHECK(extent.length > 0 && extent.length <= largest_.length);
    return {*ops_, workspace_, extent};
  }

  LossCall call_of(const Minibatch& batch, const Pass& pass, LossTerms terms) const {
    const Tensor targets = batch.targets.reshaped({pass.extent.rows()});
    return {targets, cut(losses_, targets.shape), terms};
  }

  std::int64_t count(Tensor targets) const {
    for (const std::int32_t target : targets.ints()) COVEY_CHECK(target >= -1 && target < outputs());
    return counted_targets({{}, targets});
  }

  Tensor forward(const Pass& pass, const Minibatch& batch) {
    Tensor x = batch.inputs;
    if (converts()) {
      x = cut(inputs_, x.shape);
      ops_->convert(batch.inputs, x);
    }
    for (const auto& layer : model_.layers) x = layer->forward(pass, x);
    return x;
  }

  static void add_losses(BatchStats& stats, const LossCall& call) {
    for (const float loss : call.losses.floats()) stats.loss_sum += static_cast<double>(loss);
  }

  ModelSpec spec_;
  ModelOptions options_;
  Ops* ops_;  // null where the model is only measured
  ParameterTable table_;
  std::vector<ParameterRange> held_, trained_;
  std::vector<StoredWeight> stored_;
  Extent largest_;
  Arena flat_{0};   // parameters, gradients and stored weights
  Arena arena_{0};  // activations and workspace
  std::size_t activation_bytes_ = 0;
  Tensor parameters_, gradients_, inputs_, losses_;
  Workspace workspace_;
  ExampleBook book_;
  std::vector<double> target_scales_;  // of each example's gradient
  ModelLayers model_;
  std::vector<SetFirst> sets_;
  std::size_t first_trained_ = 0;
  bool first_pass_ = false;  // of a step, and gradients_ not cleared for it yet
  bool only_pass_ = false;   // of the step so far; then what layers set has these squares
  double set_squares_ = 0;
  StepCoins coins_;
  std::uint64_t next_step_ = 0;
};

Unexpected no_memory(const ModelSpec& spec) {
  return unexpected(ErrorCode::kResourceExhausted,
                    "no memory for a model of " + std::to_string(parameter_table(spec).size) +
                        " parameters: try a smaller one");
}

}  // namespace

Result<std::unique_ptr<Model>> Model::create(const ModelSpec& spec, const ModelOptions& options, Ops& ops) {
  COVEY_TRY_VOID(check(spec, options));
  try {
    auto model = std::make_unique<LayeredModel>(spec, options, &ops);
    COVEY_TRY_VOID(model->make());
    return std::unique_ptr<Model>(std::move(model));
  } catch (const std::bad_alloc&) {
    return no_memory(spec);
  }
}

Result<std::unique_ptr<Model>> Model::create(const ModelSpec& spec, std::int64_t batch, Ops& ops) {
  ModelOptions options;
  options.batch = batch;
  return create(spec, options, ops);
}

Result<std::size_t> Model::memory_bytes(const ModelSpec& spec, const ModelOptions& options) {
  COVEY_TRY_VOID(check(spec, options));
  return LayeredModel(spec, options, nullptr).measure();
}

std::int64_t counted_targets(const Minibatch& batch) {
  std::int64_t counted = 0;
  for (const std::int32_t target : batch.targets.ints()) counted += target >= 0 ? 1 : 0;
  return counted;
}

}  // namespace covey
