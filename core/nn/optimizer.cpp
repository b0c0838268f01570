#include "core/nn/optimizer.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/tensor/arena.h"

namespace covey {
namespace {

// A stretch of parameters, of their gradients, and of what is kept for it.
struct Piece {
  std::size_t parameter = 0, gradient = 0, size = 0;
  Shape matrix;  // muon: the one matrix that it is; else of no dimension
};

Tensor flat(std::span<float> values) {
  return tensor_of(values, {static_cast<std::int64_t>(values.size())});
}
// The operations read gradients alone, but Tensor has no constant form.
Tensor flat(std::span<const float> values) {
  return flat(std::span(const_cast<float*>(values.data()), values.size()));
}

class FlatOptimizer : public Optimizer {
 public:
  FlatOptimizer(const TrainSpec& spec, std::vector<Piece> pieces, Ops& ops)
      : spec_(spec), pieces_(std::move(pieces)), ops_(ops) {
    for (const Piece& piece : pieces_) size_ += piece.size;
  }

  double step(std::span<float> parameters, std::span<const float> gradients, double progress,
              double gradient_scale, std::optional<double> squares) final {
    COVEY_CHECK(gradients.size() == size_);
    const double norm = std::sqrt(squares ? *squares : ops_.squared_norm(flat(gradients))) * gradient_scale;
    if (!std::isfinite(norm)) return norm;
    scale_ = static_cast<float>(gradient_scale * clipping(norm));
    factor_ = spec_.schedule_factor(progress);
    ++steps_;
    for (const Piece& piece : pieces_)
      move(flat(parameters.subspan(piece.parameter, piece.size)),
           flat(gradients.subspan(piece.gradient, piece.size)), piece);
    return norm;
  }

  void reset() override {
    steps_ = 0;
    for (const State* state : {&first_, &second_}) std::fill(state->values.begin(), state->values.end(), 0.0F);
  }

 protected:
  virtual void move(Tensor parameters, Tensor gradients, const Piece& piece) = 0;

  // What is kept of each gradient, zero at first. An arena's pages are large, where the system has such.
  struct State {
    Arena arena{0};
    std::span<float> values;
    void take(std::size_t size) {
      arena = Arena(size * sizeof(float));
      values = arena.take({static_cast<std::int64_t>(size)}).floats();
    }
  };
  static Tensor state_of(const State& state, const Piece& piece) {
    if (state.values.empty()) return {};
    return flat(state.values.subspan(piece.gradient, piece.size));
  }
  float rate(double first) const { return static_cast<float>(first * factor_); }

  AdamWStep adamw_step() const {
    return {rate(spec_.learning_rate), static_cast<float>(spec_.beta1), static_cast<float>(spec_.beta2),
            static_cast<float>(spec_.epsilon), static_cast<float>(spec_.weight_decay), steps_, scale_};
  }

  TrainSpec spec_;
  std::vector<Piece> pieces_;
  Ops& ops_;
  std::size_t size_ = 0;  // of the gradients
  State first_, second_;
  std::int64_t steps_ = 0;
  float scale_ = 1;  // of this step's gradients

 private:
  // The 1e-6 is torch.nn.utils.clip_grad_norm_'s.
  double clipping(double norm) const {
    return spec_.clip_norm > 0 ? std::min(1.0, spec_.clip_norm / (norm + 1e-6)) : 1.0;
  }
  double factor_ = 1;
};

class SgdOptimizer final : public FlatOptimizer {
 public:
  SgdOptimizer(const TrainSpec& spec, std::vector<Piece> pieces, Ops& ops)
      : FlatOptimizer(spec, std::move(pieces), ops) {
    if (spec.momentum > 0) first_.take(size_);
  }
  void reset() override { steps_ = 0; }  // the first step overwrites the velocity

 private:
  void move(Tensor parameters, Tensor gradients, const Piece& piece) override {
    ops_.sgd(parameters, gradients, state_of(first_, piece),
             {rate(spec_.learning_rate), static_cast<float>(spec_.momentum), static_cast<float>(spec_.weight_decay),
              steps_ == 1, spec_.nesterov, scale_});
  }
};

class AdamWOptimizer final : public FlatOptimizer {
 public:
  AdamWOptimizer(const TrainSpec& spec, std::vector<Piece> pieces, Ops& ops)
      : FlatOptimizer(spec, std::move(pieces), ops) {
    first_.take(size_);
    second_.take(size_);
  }

 private:
  void move(Tensor parameters, Tensor gradients, const Piece& piece) override {
    ops_.adamw(parameters, gradients, state_of(first_, piece), state_of(second_, piece), adamw_step());
  }
};

class LionOptimizer final : public FlatOptimizer {
 public:
  LionOptimizer(const TrainSpec& spec, std::vector<Piece> pieces, Ops& ops)
      : FlatOptimizer(spec, std::move(pieces), ops) {
    first_.take(size_);
  }

 private:
  void move(Tensor parameters, Tensor gradients, const Piece& piece) override {
    ops_.lion(parameters, gradients, state_of(first_, piece),
              {rate(spec_.learning_rate), static_cast<float>(spec_.beta1), static_cast<float>(spec_.beta2),
               static_cast<float>(spec_.weight_decay), scale_});
  }
};

class MuonOptimizer final : public FlatOptimizer {
 public:
  MuonOptimizer(const TrainSpec& spec, std::vector<Piece> pieces, Ops& ops)
      : FlatOptimizer(spec, std::move(pieces), ops) {
    first_.take(size_);
    second_.take(size_);
  }

 private:
  void move(Tensor parameters, Tensor gradients, const Piece& piece) override {
    const Tensor first = state_of(first_, piece);
    if (piece.matrix.rank() == 0)
      return ops_.adamw(parameters, gradients, first, state_of(second_, piece), adamw_step());
    ops_.muon(parameters.reshaped(piece.matrix), gradients.reshaped(piece.matrix), first.reshaped(piece.matrix),
              {rate(spec_.muon_learning_rate), static_cast<float>(spec_.momentum),
               static_cast<float>(spec_.weight_decay), true, scale_});
  }
};

// Embeddings and heads are tables of vectors, not maps between hidden layers (Jordan et al. 2024).
bool is_hidden_matrix(const ParameterTable& table, const ParameterInfo& info) {
  if (info.shape.size() != 2) return false;
  const std::string& shard = table.shards[info.shard].name;
  if (shard == "embedding" || shard == "head") return false;
  if (shard != "model") return true;
  const auto last = std::find_if(table.parameters.rbegin(), table.parameters.rend(),
                                 [](const ParameterInfo& other) { return other.shape.size() == 2; });
  return last->name != info.name;
}

std::vector<Piece> pieces_of(const TrainSpec& spec, const ParameterTable& table,
                             const std::vector<ParameterRange>& trained) {
  std::vector<Piece> pieces;
  std::size_t gradient = 0;
  for (const ParameterRange& range : trained) {
    if (spec.optimizer != LocalOptimizer::kMuon) {
      pieces.push_back({range.offset, gradient, range.size, {}});
      gradient += range.size;
      continue;
    }
    for (const ParameterInfo& info : table.parameters) {
      if (info.offset < range.offset || info.offset >= range.offset + range.size) continue;
      const Shape matrix = is_hidden_matrix(table, info) ? Shape{info.shape[0], info.shape[1]} : Shape{};
      const bool joined = matrix.rank() == 0 && !pieces.empty() && pieces.back().matrix.rank() == 0 &&
                          pieces.back().parameter + pieces.back().size == info.offset;
      if (joined)
        pieces.back().size += info.size;
      else
        pieces.push_back({info.offset, gradient, info.size, matrix});
      gradient += info.size;
    }
  }
  return pieces;
}

std::unique_ptr<Optimizer> make(const TrainSpec& spec, std::vector<Piece> pieces, Ops& ops) {
  switch (spec.optimizer) {
    case LocalOptimizer::kSgd: return std::make_unique<SgdOptimizer>(spec, std::move(pieces), ops);
    case LocalOptimizer::kAdamW: return std::make_unique<AdamWOptimizer>(spec, std::move(pieces), ops);
    case LocalOptimizer::kLion: return std::make_unique<LionOptimizer>(spec, std::move(pieces), ops);
    case LocalOptimizer::kMuon: return std::make_unique<MuonOptimizer>(spec, std::move(pieces), ops);
  }
  COVEY_CHECK(false);
  return nullptr;
}

}  // namespace

std::unique_ptr<Optimizer> make_optimizer(const TrainSpec& spec, const ParameterTable& table,
                                          const std::vector<ParameterRange>& trained, Ops& ops) {
  return make(spec, pieces_of(spec, table, trained), ops);
}

std::unique_ptr<Optimizer> make_optimizer(const TrainSpec& spec, const ParameterTable& table,
                                          const std::vector<ParameterRange>& held,
                                          const std::vector<ParameterRange>& trained, Ops& ops) {
  std::vector<Piece> pieces = pieces_of(spec, table, trained);
  for (Piece& piece : pieces) piece.parameter = position_in(held, piece.parameter);
  return make(spec, std::move(pieces), ops);
}

std::unique_ptr<Optimizer> make_optimizer(const TrainSpec& spec, std::size_t size, Ops& ops) {
  COVEY_CHECK(spec.optimizer != LocalOptimizer::kMuon);
  return make(spec, {{0, 0, size, {}}}, ops);
}

bool LossScaler::update(double norm) {
  constexpr int kStepsToGrow = 2000;
  constexpr double kScaleMax = 16'777'216;
  if (!std::isfinite(norm)) {
    scale_ /= 2;
    good_steps_ = 0;
    return false;
  }
  if (++good_steps_ < kStepsToGrow) return true;
  scale_ = std::min(2 * scale_, kScaleMax);
  good_steps_ = 0;
  return true;
}

}  // namespace covey
