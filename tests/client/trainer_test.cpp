#include "client/trainer.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <span>

#include "core/nn/model.h"
#include "core/protocol/manifest.h"
#include "core/store/blobs.h"
#include "tests/core/data/data_files.h"

using namespace covey;

namespace {

constexpr std::string_view kTable = R"(
name = "line"
rounds = 3
seed = 5
[model]
family = "logistic"
[data]
format = "csv"
holdout = 0.25
[[data.columns]]
name = "x"
kind = "numeric"
min = -1
max = 1
[[data.columns]]
name = "y"
kind = "numeric"
min = -1
max = 1
[[data.columns]]
name = "side"
kind = "label"
values = ["below", "above"]
[train]
local_epochs = 5
batch_size = 8
learning_rate = 0.5
)";

// Points and on which side of the line y = x they lie.
std::string points(int count) {
  Random random(11);
  std::string csv = "x,y,side\n";
  for (int i = 0; i < count; ++i) {
    const double x = 2 * random.uniform() - 1, y = 2 * random.uniform() - 1;
    csv += std::to_string(x) + "," + std::to_string(y) + "," + (y > x ? "above" : "below") + "\n";
  }
  return csv;
}

// One site with its data, and the model that its coordinator offers.
struct Site {
  explicit Site(std::string_view toml, std::string_view csv = points(80)) : job(*parse_job(toml)) {
    folder.write("points.csv", csv);
    auto loaded = make_path_source(folder.path())->load(job);
    REQUIRE_MESSAGE(loaded.has_value(), (loaded ? "" : loaded.error().message));
    local = std::move(*loaded);
    offer(initial_parameters(job.model, Random(job.seed).split("model")));
  }
  void offer(std::vector<float> parameters) {
    global = std::move(parameters);
    model = *write_model(blobs, job.model, 0, global);
  }
  Train work(RoundKind kind = RoundKind::kTrain, std::uint32_t round = 1) const {
    RoundOffer offer;
    offer.key = {1, round, 1};
    offer.kind = kind;
    offer.model = model;
    offer.progress_begin = 0;
    offer.progress_end = 1.0 / 3;
    return {job, offer};
  }
  TrainContext context(TrainWorkspace* workspace = nullptr) {
    return {.blobs = blobs, .local = local, .client = client, .workspace = workspace};
  }
  std::vector<float> update_of(const Trained& trained) {
    return *floats_of_bytes(*blobs.get(trained.update.value().id));
  }

  TemporaryFolder folder;
  JobSpec job;
  MemoryBlobs blobs;
  LocalData local;
  PeerKey client{{1, 2, 3}};
  std::vector<float> global;
  BlobRef model;
};

std::string with(std::string_view from, std::string_view to, std::string_view in = kTable) {
  std::string text(in);
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

double mean_loss(const EvalStats& stats) { return stats.loss_sum / static_cast<double>(stats.targets); }

class StepClock final : public Clock {  // a second further at each look
 public:
  Instant now() override { return now_ += 1s; }

 private:
  Instant now_{};
};

}  // namespace

TEST_CASE("trainer: rounds of local training lower the held-out loss") {
  Site site(kTable);
  REQUIRE(prepare(site.local).value().train_examples == 60);
  REQUIRE(prepare(site.local).value().holdout_examples == 20);
  const auto first = train(site.work(), site.context());
  REQUIRE(first.has_value());
  CHECK(first->examples == 60);
  CHECK(first->train.steps == 5 * 8);
  CHECK(first->train.targets == 5 * 60);
  CHECK(first->train.seconds == 0);  // no clock was given
  CHECK(first->evaluation.targets == 20);
  const std::vector<float> delta = site.update_of(*first);
  REQUIRE(delta.size() == site.global.size());
  std::vector<float> next = site.global;
  for (std::size_t i = 0; i < next.size(); ++i) next[i] -= delta[i];  // delta = global - local
  site.offer(next);
  const auto second = train(site.work(RoundKind::kEvaluate, 2), site.context());
  REQUIRE(second.has_value());
  CHECK(mean_loss(second->evaluation) < 0.8 * mean_loss(first->evaluation));
  CHECK(second->evaluation.correct > first->evaluation.correct);
}

TEST_CASE("trainer: the same round makes the same bits, with a used workspace or none") {
  Site site(kTable);
  TrainWorkspace workspace;
  const auto once = train(site.work(), site.context());
  const auto other_round = train(site.work(RoundKind::kTrain, 2), site.context(&workspace));
  const auto again = train(site.work(), site.context(&workspace));
  REQUIRE((once && other_round && again));
  CHECK(once->update == again->update);
  CHECK(once->train == again->train);
  CHECK(once->evaluation == again->evaluation);
  CHECK(once->update != other_round->update);  // another order of examples
  site.client.bytes[31] = 9;
  const auto other_client = train(site.work(), site.context(&workspace));
  REQUIRE(other_client);
  CHECK(once->update != other_client->update);
}

TEST_CASE("trainer: momenta do not leak from one client to the next") {
  for (const char* optimizer : {"optimizer = \"adamw\"\n", "momentum = 0.9\n"}) {
    Site site(with("local_epochs", std::string(optimizer) + "local_epochs"));
    TrainWorkspace workspace;
    const auto once = train(site.work(), site.context(&workspace));
    const auto again = train(site.work(), site.context(&workspace));
    REQUIRE((once && again));
    CHECK(once->update == again->update);
  }
}

TEST_CASE("trainer: one workspace serves jobs of different shape in turn") {
  Site points_site(kTable);
  Site wide_site(with("batch_size = 8", "batch_size = 3",
                      with("family = \"logistic\"", "family = \"mlp\"\nhidden = [5]")));
  TrainWorkspace workspace;
  const auto points_alone = train(points_site.work(), points_site.context());
  const auto wide_alone = train(wide_site.work(), wide_site.context());
  REQUIRE((points_alone && wide_alone));
  for (int turn = 0; turn < 2; ++turn) {
    CHECK(train(points_site.work(), points_site.context(&workspace))->update == points_alone->update);
    CHECK(train(wide_site.work(), wide_site.context(&workspace))->update == wide_alone->update);
  }
}

TEST_CASE("trainer: local_steps counts steps, not passes") {
  Site site(with("local_epochs = 5", "local_steps = 3"));
  const auto trained = train(site.work(), site.context());
  REQUIRE(trained);
  CHECK(trained->train.steps == 3);
  CHECK(trained->train.targets == 24);
}

TEST_CASE("trainer: an evaluation round measures and makes no update") {
  Site site(kTable);
  const auto trained = train(site.work(RoundKind::kEvaluate), site.context());
  REQUIRE(trained);
  CHECK_FALSE(trained->update);
  CHECK(trained->train == TrainStats{});
  CHECK(trained->evaluation.targets == 20);
  CHECK(trained->evaluation == train(site.work(), site.context())->evaluation);
}

TEST_CASE("trainer: the update leaves clipped") {
  Site site(std::string(kTable) + "[update]\nclip_norm = 0.01\n");
  const auto trained = train(site.work(), site.context());
  REQUIRE(trained);
  double sum = 0;
  for (const float value : site.update_of(*trained)) sum += static_cast<double>(value) * static_cast<double>(value);
  CHECK(std::sqrt(sum) == doctest::Approx(0.01).epsilon(1e-6));
}

TEST_CASE("trainer: a diverging loss names the step and the remedy") {
  Site site(with("family = \"logistic\"", "family = \"mlp\"\nhidden = [5]"));
  site.job.train.learning_rate = 1e30;
  const auto trained = train(site.work(), site.context());
  REQUIRE_FALSE(trained);
  CHECK(trained.error().code == ErrorCode::kInvalidUpdate);
  CHECK(mentions(trained.error().message, "local step "));
  CHECK(mentions(trained.error().message, "of 40"));
  CHECK(mentions(trained.error().message, "lower train.learning_rate (now 1e+30)"));
  CHECK(mentions(trained.error().message, "train.clip_norm"));
}

TEST_CASE("trainer: an offered model that is not finite is refused, not trained") {
  Site site(kTable);
  site.offer(std::vector<float>(site.global.size(), std::nanf("")));
  const auto trained = train(site.work(), site.context());
  REQUIRE_FALSE(trained);
  CHECK(trained.error().code == ErrorCode::kInvalidUpdate);
  CHECK(mentions(trained.error().message, "offered model"));
}

TEST_CASE("trainer: a model of another shape or one that is not here is refused") {
  Site site(kTable);
  Train work = site.work();
  work.job.model.inputs += 1;
  CHECK(train(work, site.context()).error().code == ErrorCode::kInvalidMessage);
  work = site.work();
  work.offer.model.id.bytes[0] ^= 1;
  CHECK(train(work, site.context()).error().code == ErrorCode::kNotFound);
}

TEST_CASE("trainer: a model that a workspace knows is still refused where it is not held") {
  Site site(kTable);
  TrainWorkspace workspace;
  REQUIRE(train(site.work(), site.context(&workspace)));
  REQUIRE(site.blobs.erase(read_model(site.blobs, site.model.id)->manifest.shards.at(0).id));
  CHECK(train(site.work(), site.context(&workspace)).error().code == ErrorCode::kNotFound);
}

TEST_CASE("trainer: stops when cancelled, and counts seconds by the clock it is given") {
  Site site(kTable);
  const std::atomic<bool> cancelled = true;
  TrainContext context = site.context();
  context.cancelled = &cancelled;
  CHECK(train(site.work(), context).error().code == ErrorCode::kUnavailable);
  StepClock clock;
  context.cancelled = nullptr;
  context.clock = &clock;
  CHECK(train(site.work(), context)->train.seconds == 1);
}

TEST_CASE("trainer: a byte-level transformer learns a small text") {
  TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 40; ++i) text += "the quick brown fox jumps over the lazy dog.\n";
  folder.write("fox.txt", text);
  const JobSpec job = *parse_job(R"(
[model]
family = "transformer"
layers = 1
width = 16
heads = 2
context = 16
[data]
format = "text"
[train]
optimizer = "adamw"
learning_rate = 1e-2
local_epochs = 0
local_steps = 30
batch_size = 4
)");
  const auto local = make_path_source(folder.path())->load(job);
  REQUIRE(local.has_value());
  MemoryBlobs blobs;
  TrainWorkspace workspace;
  std::vector<float> parameters = initial_parameters(job.model, Random(1));
  std::vector<double> losses;
  for (std::uint32_t round = 1; round <= 3; ++round) {
    RoundOffer offer;
    offer.key = {1, round, 1};
    offer.model = *write_model(blobs, job.model, round - 1, parameters);
    const auto trained = train({job, offer}, {.blobs = blobs, .local = *local, .client = {}, .workspace = &workspace});
    REQUIRE(trained.has_value());
    losses.push_back(mean_loss(trained->evaluation));
    const auto delta = floats_of_bytes(*blobs.get(trained->update->id));
    for (std::size_t i = 0; i < parameters.size(); ++i) parameters[i] -= (*delta)[i];
  }
  CHECK(losses[0] > 5);  // near log 256
  CHECK(losses[1] < 0.8 * losses[0]);
  CHECK(losses[2] < losses[1]);
}

// Plain SGD moves by the gradient, so the update shows what clipping left of it.
TEST_CASE("trainer: with per_example_clip one step moves by no more than the bound, and many steps learn") {
  const std::string one_step = with("local_epochs = 5", "local_epochs = 0\nlocal_steps = 1");
  const auto length_of = [](std::string_view toml) {
    Site site(toml);
    const auto trained = train(site.work(), site.context());
    REQUIRE(trained);
    double sum = 0;
    for (const float value : site.update_of(*trained)) sum += double{value} * double{value};
    return std::sqrt(sum);
  };
  const double plain = length_of(one_step);
  CHECK(length_of(with("[train]", "[train]\nper_example_clip = 1e6", one_step)) == doctest::Approx(plain).epsilon(1e-5));
  const double clipped = length_of(with("[train]", "[train]\nper_example_clip = 0.01", one_step));
  CHECK(clipped <= 0.5 * 0.01 * (1 + 1e-6));  // learning_rate times the bound
  CHECK(clipped > 0);
  CHECK(clipped < plain);

  const std::string many = with("[train]", "[train]\nper_example_clip = 0.25");
  Site site(many), pieces(with("batch_size = 8", "batch_size = 8\nmicro_batch = 3", many));
  TrainWorkspace workspace;
  const auto first = train(site.work(), site.context(&workspace));
  REQUIRE(first);
  CHECK(site.update_of(*first) == site.update_of(*train(site.work(), site.context(&workspace))));
  const std::vector<float> update = site.update_of(*first), by_pieces = pieces.update_of(*train(pieces.work(), pieces.context()));
  for (std::size_t i = 0; i < update.size(); ++i) {
    CHECK(double{by_pieces[i]} == doctest::Approx(double{update[i]}).epsilon(1e-4));
    site.global[i] -= update[i];
  }
  site.offer(site.global);
  const auto second = train(site.work(RoundKind::kEvaluate, 2), site.context(&workspace));
  REQUIRE(second);
  CHECK(mean_loss(second->evaluation) < 0.9 * mean_loss(first->evaluation));
}

TEST_CASE("path source: the path is looked at when a job asks, and errors name it") {
  const JobSpec job = *parse_job(kTable);
  const auto missing = make_path_source("no/such/folder");
  const auto failed = missing->load(job);
  REQUIRE_FALSE(failed);
  CHECK(failed.error().code == ErrorCode::kNotFound);
  CHECK(mentions(failed.error().message, "no/such/folder"));
  CHECK(make_path_source("")->load(job).error().code == ErrorCode::kNotFound);
  TemporaryFolder folder;
  folder.write("points.csv", points(1));
  const auto one = make_path_source(folder.path())->load(job);
  REQUIRE(one);
  CHECK(one->split.train.size() == 1);
  CHECK(one->split.holdout.empty());
}

TEST_CASE("path source: the held-out part is the same each time") {
  Site site(kTable);
  const auto again = make_path_source(site.folder.path())->load(site.job);
  REQUIRE(again);
  CHECK(again->split.train == site.local.split.train);
  CHECK(again->split.holdout == site.local.split.holdout);
  CHECK(prepare({site.local.data, {}}).error().code == ErrorCode::kInvalidData);
}

TEST_CASE("trainer: examples in pieces make the same update, but for rounding") {
  Site whole(kTable), pieces(with("batch_size = 8", "batch_size = 8\nmicro_batch = 3"));
  const auto a = train(whole.work(), whole.context());
  const auto b = train(pieces.work(), pieces.context());
  REQUIRE((a && b));
  CHECK(a->train.steps == b->train.steps);
  CHECK(a->train.targets == b->train.targets);
  const std::vector<float> x = whole.update_of(*a), y = pieces.update_of(*b);
  for (std::size_t i = 0; i < x.size(); ++i) CHECK(y[i] == doctest::Approx(x[i]).epsilon(1e-4));
  TrainContext context = whole.context();  // the same by the site's own wish
  context.limits.wishes.micro_batch = 3;
  std::string said;
  context.planned = [&](const TrainPlan& plan) { said = to_text(plan); };
  CHECK(train(whole.work(), context)->update == b->update);
  CHECK(said.find("f32, 3 examples at once") == 0);
}

TEST_CASE("trainer: memory that does not suffice is refused with the least that does") {
  Site site(kTable);
  TrainContext context = site.context();
  context.limits.memory_bytes = 16;
  const auto refused = train(site.work(), context);
  REQUIRE(!refused);
  CHECK(refused.error().code == ErrorCode::kResourceExhausted);
  CHECK(refused.error().message.find("training takes at least 1 MiB (f32, ") == 0);
}

namespace {

// Two letters in an order that tells nothing: once their frequency is learned, noise is all that a step sees.
struct CoinSite {
  explicit CoinSite(std::string_view train) {
    std::string text;
    Random random(5);
    for (int i = 0; i < 6000; ++i) text += random.below(2) == 0 ? 'a' : 'b';
    folder.write("coins.txt", text);
    job = *parse_job("[model]\nfamily = \"transformer\"\nlayers = 1\nwidth = 16\nheads = 2\ncontext = 16\n[data]\nformat = \"text\"\n[train]\n"
                     "optimizer = \"adamw\"\nlearning_rate = 1e-2\nlocal_steps = 400\n" + std::string(train));
    local = *make_path_source(folder.path())->load(job);
    offer.key = {1, 1, 1};
    offer.progress_end = 1;
    offer.model = *write_model(blobs, job.model, 0, initial_parameters(job.model, Random(1)));
  }
  Trained trained(std::vector<StepReport>* reports = nullptr, int threads = 1) {
    TrainWorkspace workspace(threads);
    auto result = train({job, offer}, {.blobs = blobs, .local = local, .client = {}, .workspace = &workspace,
                                       .stepped = [&](const StepReport& report) { if (reports != nullptr) reports->push_back(report); }});
    REQUIRE(result.has_value());
    return std::move(*result);
  }
  TemporaryFolder folder;
  JobSpec job;
  MemoryBlobs blobs;
  LocalData local;
  RoundOffer offer;
};

}  // namespace

TEST_CASE("trainer: the batch grows where noise is all that is left to see") {
  CoinSite fixed("batch_size = 4\n"), grows("batch_size = 4\nbatch_max = 64\n");
  std::vector<StepReport> plain, reports;
  CHECK(fixed.trained(&plain).train.steps == 400);
  const Trained after = grows.trained(&reports);
  REQUIRE(!reports.empty());
  CHECK(plain.size() == 400);
  CHECK_FALSE(plain.back().noise_scale);
  CHECK(reports.front().examples == 4);
  std::uint64_t largest = 0, seen = 0;
  for (const StepReport& report : reports) largest = std::max(largest, report.examples), seen += report.examples;
  CHECK(largest >= 32);
  CHECK(largest <= 64);
  CHECK(seen == 1600);  // as many examples as 400 steps of 4
  CHECK(after.train.steps == reports.size());
  CHECK(after.train.steps < 250);
  REQUIRE(reports.back().noise_scale);
  CHECK(*reports.back().noise_scale > 32);
}

TEST_CASE("trainer: an adapting batch is the same bits on any number of threads and again") {
  CoinSite site("batch_size = 4\nbatch_max = 64\n");
  const Trained once = site.trained(), again = site.trained(), shared = site.trained(nullptr, 3);
  CHECK(once.update == again.update);
  CHECK(once.update == shared.update);
  CHECK(once.train.steps == shared.train.steps);
}

TEST_CASE("trainer: a batch shrinks where examples agree") {
  // Every window is the same, so that nothing is gained by more of them.
  CoinSite site("batch_size = 32\nbatch_min = 4\nbatch_max = 64\n");
  site.folder.write("coins.txt", std::string(6000, 'a'));
  site.local = *make_path_source(site.folder.path())->load(site.job);
  std::vector<StepReport> reports;
  site.trained(&reports);
  CHECK(reports.back().examples <= 8);
}

TEST_CASE("trainer: frozen weights held in fewer bits move nothing of theirs, and train the rest nearly as well") {
  const std::string lora = "[model.lora]\nrank = 4\n";
  const auto site = [&](const char* storage) {
    auto made = std::make_unique<CoinSite>("batch_size = 8\nprecision = \"f32\"\n" + std::string(storage) + lora);
    std::vector<float> parameters = initial_parameters(made->job.model, Random(1));
    made->offer.model = *write_model(made->blobs, made->job.model, 0, parameters);
    return made;
  };
  const auto whole = site("frozen_storage = \"f32\"\n");
  const Trained exact = whole->trained();
  const auto base = static_cast<std::size_t>(trained_ranges(whole->job.model, {}).front().offset);
  const std::uint64_t all = parameter_table(whole->job.model).size;
  for (const char* storage : {"frozen_storage = \"bf16\"\n", "frozen_storage = \"int8\"\n"}) {
    CAPTURE(std::string(storage));
    const auto narrow = site(storage);
    const Trained trained = narrow->trained();
    const auto sent = floats_of_bytes(*narrow->blobs.get(trained.update->id));
    REQUIRE(sent.has_value());
    CHECK(sent->size() == all - base);
    narrow->job.update.exchange = Exchange::kAll;
    const Trained with_frozen = narrow->trained();
    const auto delta = floats_of_bytes(*narrow->blobs.get(with_frozen.update->id));
    REQUIRE(delta.has_value());
    REQUIRE(delta->size() == all);
    CHECK(std::equal(sent->begin(), sent->end(), delta->begin() + static_cast<std::ptrdiff_t>(base)));
    CHECK(std::all_of(delta->begin(), delta->begin() + static_cast<std::ptrdiff_t>(base), [](float x) { return x == 0; }));
    CHECK(std::any_of(delta->begin() + static_cast<std::ptrdiff_t>(base), delta->end(), [](float x) { return x != 0; }));
    CHECK(trained.train.loss_sum == doctest::Approx(exact.train.loss_sum).epsilon(0.01));
    CHECK(trained.update != exact.update);  // the setting acts
  }
}

TEST_CASE("trainer: an update holds what is trained, in order, and nothing of a frozen shard in between") {
  CoinSite site("batch_size = 8\nprecision = \"f32\"\nfrozen = [\"layers.0\"]\n");
  REQUIRE(site.job.update.exchange == Exchange::kTrained);
  const auto sent = floats_of_bytes(*site.blobs.get(site.trained().update->id));
  site.job.update.exchange = Exchange::kAll;
  const auto delta = floats_of_bytes(*site.blobs.get(site.trained().update->id));
  REQUIRE((sent && delta));
  const std::vector<ShardRange> shards = parameter_table(site.job.model).shards;
  REQUIRE(shards.size() == 3);
  std::vector<float> around;
  for (const std::size_t shard : {0U, 2U})
    around.insert(around.end(), delta->begin() + static_cast<std::ptrdiff_t>(shards[shard].offset),
                  delta->begin() + static_cast<std::ptrdiff_t>(shards[shard].offset + shards[shard].size));
  CHECK(*sent == around);
  CHECK(std::any_of(around.begin(), around.end(), [](float x) { return x != 0; }));
}

TEST_CASE("trainer: in fp16 an overflowing gradient costs no step") {
  // Sums of losses whose gradients overflow at the first scales.
  CoinSite wide("batch_size = 8\nprecision = \"f32\"\nclip_norm = 1\n"), narrow("batch_size = 8\nprecision = \"fp16\"\nclip_norm = 1\n");
  std::vector<StepReport> exact, scaled;
  const Trained expected = wide.trained(&exact), got = narrow.trained(&scaled);
  CHECK(got.train.steps == expected.train.steps);
  CHECK(got.train.loss_sum == doctest::Approx(expected.train.loss_sum).epsilon(0.01));
  REQUIRE(scaled.size() == exact.size());
  for (std::size_t i = 0; i < 20; ++i)  // where the curve is steep and a lost step would show
    CHECK(scaled[i].loss_sum == doctest::Approx(exact[i].loss_sum).epsilon(0.005));
}
