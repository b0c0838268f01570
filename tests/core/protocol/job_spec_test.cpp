#include "core/protocol/job_spec.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "core/protocol/job_fit.h"
#include "core/protocol/limits.h"

using namespace covey;

namespace {

constexpr std::string_view kTenLines = R"(
name = "shakespeare"
rounds = 20
[model]
family = "transformer"
[data]
format = "text"
[train]
optimizer = "adamw"
learning_rate = 1e-3
local_steps = 50
)";

constexpr std::string_view kTable = R"(
[model]
family = "logistic"
[data]
format = "csv"
[[data.columns]]
name = "age"
kind = "numeric"
min = 17
max = 90
[[data.columns]]
name = "job"
kind = "category"
values = ["a", "b"]
[[data.columns]]
name = "rich"
kind = "label"
values = ["no", "yes"]
)";

std::string error_of(std::string_view toml) {
  const auto spec = parse_job(toml);
  REQUIRE_FALSE(spec.has_value());
  return spec.error().message;
}

std::string with(std::string_view extra) { return std::string(kTenLines) + std::string(extra); }

bool mentions(const std::string& text, std::string_view part) {
  INFO("message: ", text);
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("job: ten lines are a whole job, the rest has defaults") {
  const auto spec = parse_job(kTenLines);
  REQUIRE(spec.has_value());
  CHECK(spec->name == "shakespeare");
  CHECK(spec->rounds == 20);
  CHECK(spec->train.local_steps == 50);
  CHECK(spec->train.local_epochs == 0);
  CHECK(spec->server.optimizer == ServerOptimizerKind::kFedAvg);
  CHECK(spec->selection.fraction == 1.0);
  CHECK(spec->privacy.secure_aggregation);
  CHECK(spec->selection.min_clients == kSecureClientsMin);
  CHECK(spec->privacy == JobSpec{}.privacy);
  CHECK(spec->selection == JobSpec{}.selection);
}

TEST_CASE("job: what cannot be with the default must say that it goes without") {
  const std::string robust = "[selection]\nmin_clients = 6\n[server]\ncombine = \"median\"\n";
  CHECK(mentions(error_of(with(robust)), "privacy.secure_aggregation = false"));
  CHECK(mentions(error_of("durability = \"attempt\"\n" + with("")), "privacy.secure_aggregation = false"));
  CHECK(mentions(error_of(with("[selection]\nmin_clients = 2")), "privacy.secure_aggregation = false"));
  CHECK(parse_job(with(robust + "[privacy]\nsecure_aggregation = false")).has_value());
}

TEST_CASE("job: the effective values read back as the same job") {
  for (const std::string_view text : {kTenLines, kTable}) {
    auto spec = parse_job(text);
    REQUIRE(spec.has_value());
    spec->simulation.data = "some \"folder\"\n";
    spec->simulation.partition.kind = PartitionKind::kDirichlet;
    spec->train.learning_rate = 0.1 + 0.2;
    const auto again = parse_job(to_toml(*spec));
    REQUIRE(again.has_value());
    CHECK(*again == *spec);
  }
}

TEST_CASE("job: what clients get has no simulation section") {
  auto spec = parse_job(kTenLines);
  REQUIRE(spec.has_value());
  spec->simulation.data = "secret/place";
  CHECK(public_toml(*spec).find("secret") == std::string::npos);
  CHECK(parse_job(public_toml(*spec)).has_value());
}

TEST_CASE("job: csv columns give the model's inputs and classes") {
  const auto spec = parse_job(kTable);
  REQUIRE(spec.has_value());
  CHECK(spec->model.inputs == 4);
  CHECK(spec->model.classes == 2);
}

TEST_CASE("job: an unknown setting is refused with its line and the nearest one") {
  CHECK(mentions(error_of("round = 3\nname = \"a\""), "must be a section"));
  CHECK(mentions(error_of("roundz = 3"), "line 1: unknown setting \"roundz\"; did you mean \"rounds\"?"));
  CHECK(mentions(error_of(with("lr = 0.1")), "did you mean \"train.learning_rate\"?"));
  CHECK(mentions(error_of(with("[sever]\noptimizer = \"fedavg\"")), "did you mean \"server\"?"));
}

TEST_CASE("job: a feature that is not built is refused by name") {
  const auto refused = parse_job(with("[privacy]\nepsilon = 8.0"));
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == ErrorCode::kUnsupported);
  CHECK(mentions(refused.error().message, "privacy.epsilon"));
  CHECK(mentions(error_of(with("[update]\ncompress = \"int8\"")), "update.compress"));
  CHECK(mentions(error_of(with("precision = \"f8\"")), "train.precision"));
  CHECK(parse_job(with("precision = \"f32\"\n[privacy]\nsecure_aggregation = false\n[update]\ncompress = \"none\"")).has_value());
}

TEST_CASE("job: secure aggregation has its own least number of clients, and reads back") {
  const auto job = parse_job(with("[privacy]\nsecure_aggregation = true\ncorrupt_fraction = 0.2\ndropout = 0.05\n"
                                  "value_range = 2.0\nring_bits = 40\nexamples_max = 1000"));
  REQUIRE(job.has_value());
  CHECK(job->selection.min_clients == kSecureClientsMin);
  CHECK(job->privacy == PrivacySpec{true, 0.2, 0.05, 2.0, 40, 1000});
  CHECK(parse_job(to_toml(*job)).value() == *job);
  CHECK(mentions(public_toml(*job), "secure_aggregation = true"));
  const auto plain = parse_job(with("[privacy]\nsecure_aggregation = false"));
  REQUIRE(plain.has_value());
  CHECK(plain->selection.min_clients == 2);
  CHECK_FALSE(plain->privacy.secure_aggregation);
}

TEST_CASE("job: what secure aggregation cannot run with is refused with the nearest possible job") {
  const std::string on = "[privacy]\nsecure_aggregation = true\n";
  const std::string few = error_of(with(on + "[selection]\nmin_clients = 3"));
  CHECK(mentions(few, "selection.min_clients = 3"));
  CHECK(mentions(few, "selection.min_clients = 4"));
  CHECK(mentions(few, "privacy.secure_aggregation = false"));
  const std::string robust = error_of(with(on + "[selection]\nmin_clients = 6\n[server]\ncombine = \"median\""));
  CHECK(mentions(robust, "server.combine = \"median\""));
  CHECK(mentions(robust, "privacy.secure_aggregation = false"));
  const std::string kept = error_of("durability = \"attempt\"\n" + with(on));
  CHECK(mentions(kept, "durability = \"attempt\""));
  CHECK(mentions(kept, "durability = \"update\""));
  CHECK(mentions(error_of(with(on + "corrupt_fraction = 0.31")), "privacy.corrupt_fraction = 0.31"));
  CHECK(mentions(error_of(with(on + "dropout = -0.1")), "privacy.dropout"));
  CHECK(mentions(error_of(with(on + "value_range = 0")), "privacy.value_range = 0"));
  CHECK(mentions(error_of(with(on + "ring_bits = 63")), "privacy.ring_bits = 63"));
  CHECK(mentions(error_of(with(on + "examples_max = 0")), "privacy.examples_max = 0"));
  // (2^15 - 1) / 1,000 is 32 steps; 19 bits give 262, and 4.0 scaled by 64 takes 257.
  const std::string coarse = error_of(with(on + "ring_bits = 16\n[selection]\nmin_clients = 1000"));
  CHECK(mentions(coarse, "privacy.ring_bits = 16"));
  CHECK(mentions(coarse, "set privacy.ring_bits = 19"));
  CHECK(parse_job(with(on + "ring_bits = 19\n[selection]\nmin_clients = 1000")).has_value());
}

TEST_CASE("job: the scale of a secure sum is the largest that cannot wrap") {
  for (const double range : {1e-6, 0.3, 4.0, 1e6})
    for (const std::uint32_t bits : {16U, 32U, 62U})
      for (const std::uint32_t members : {4U, 100U, 1000U}) {
        const double scale = secure_scale(range, bits, members);
        const double bound = static_cast<double>(((std::uint64_t{1} << (bits - 1)) - 1) / members);
        CAPTURE(range);
        CAPTURE(bits);
        CAPTURE(members);
        CHECK(scale > 0);
        CHECK(range * scale + 1 <= bound);
        CHECK(range * scale * 2 + 1 > bound);
      }
  CHECK(secure_scale(4, 32, 0) == 0);
  CHECK(secure_scale(4, 16, 40'000) == 0);
  for (const double tiny : {1e-300, 5e-324, std::numeric_limits<double>::infinity(), std::nan("")})
    CHECK(secure_scale(tiny, 32, 4) == 0);  // and it returns
  JobSpec spec;
  spec.privacy.value_range = 4;
  CHECK(secure_range(spec) == 4);
  spec.update.clip_norm = 0.5;
  CHECK(secure_range(spec) == 0.5);
  spec.update.clip_norm = 9;
  CHECK(secure_range(spec) == 4);
}

TEST_CASE("job: wrong types and ranges name the setting and the bound") {
  CHECK(mentions(error_of("rounds = \"ten\""), "rounds = 'ten'"));
  CHECK(mentions(error_of("rounds = -1"), "rounds = -1"));
  CHECK(mentions(error_of("rounds = 0"), "rounds = 0"));
  CHECK(mentions(error_of(with("batch_size = 0")), "train.batch_size"));
  CHECK(mentions(error_of(with("[selection]\nfraction = 1.5")), "selection.fraction = 1.5"));
  CHECK(mentions(error_of(with("[round]\ndeadline_s = 0")), "round.deadline_s"));
  for (const std::string norm : {"1e-300", "1e-7", "-1", "1e7", "nan", "inf"})
    CHECK(mentions(error_of(with("[update]\nclip_norm = " + norm)), "update.clip_norm = "));
  for (const std::string clip : {"clip_norm", "per_example_clip"}) {
    CHECK(mentions(error_of(with(clip + " = 1e-9")), "train." + clip + " = 1e-09: must be 0 (nothing is clipped), or at least 1e-06"));
    CHECK(parse_accepted_job(with(clip + " = 1e-9")).has_value());  // an earlier version took it
    CHECK_FALSE(parse_accepted_job(with(clip + " = -1")).has_value());
  }
  CHECK(mentions(error_of(with("[server]\noptimizer = \"adam\"")), "\"fedadam\""));
  CHECK(mentions(error_of("name = \"a b\""), "name = \"a b\""));
  CHECK(mentions(error_of("[[model]]\n"), "line 1: model = [ {} ]: must be a section, [model]"));
  CHECK(mentions(error_of("x = ["), "not TOML"));
}

TEST_CASE("job: a robust rule needs enough updates in every round, and says how many") {
  const std::string plain = "[privacy]\nsecure_aggregation = false\n";
  const std::string many = plain + "[selection]\nmin_clients = 5\n[server]\n";
  for (const auto kind : {CombineKind::kMedian, CombineKind::kTrimmedMean, CombineKind::kNormFilter, CombineKind::kGeometricMedian}) {
    const std::string rule = "combine = \"" + std::string(name_of(kind)) + "\"\n";
    const auto job = parse_job(with(many + rule));
    REQUIRE(job.has_value());
    CHECK(job->server.combine == kind);
    CHECK(parse_job(to_toml(*job)).value() == *job);
    CHECK(mentions(error_of(with(plain + "[selection]\nmin_clients = 4\n[server]\n" + rule)), "at least 3 updates"));
    CHECK(mentions(error_of(with(plain + "[server]\n" + rule)), "min_clients = 2"));
  }
  CHECK(mentions(error_of(with(many + "combine = \"krum\"")), "geometric_median"));
  CHECK(mentions(error_of(with(many + "combine = \"trimmed_mean\"\ntrim = 0.5")), "server.trim = 0.5"));
  CHECK(mentions(error_of(with(many + "combine = \"trimmed_mean\"\ntrim = nan")), "server.trim"));
  CHECK(mentions(error_of(with(many + "combine = \"norm_filter\"\nnorm_factor = 0.5")), "server.norm_factor = 0.5"));
}

TEST_CASE("job: a model that does not fit the data names both") {
  CHECK(mentions(error_of("[data]\nformat = \"text\"\n[model]\nfamily = \"cnn\""), "\"transformer\""));
  CHECK(mentions(error_of("[data]\nformat = \"idx\"\n[model]\nfamily = \"transformer\""), "idx"));
}

TEST_CASE("job: a setting of another family, optimizer, schedule or rule than the job's is refused, not ignored") {
  const auto mlp = [](const std::string& model, const std::string& rest) {
    return error_of("[model]\nfamily = \"mlp\"\n" + model + "[data]\nformat = \"idx\"\n" + rest);
  };
  CHECK(mentions(mlp("layers = 3\n", ""), "model.layers is for model.family = \"transformer\", and this job has model.family = \"mlp\""));
  CHECK(mentions(mlp("dropout = 0.5\n", ""), "model.dropout"));
  CHECK(mentions(mlp("kernel = 3\n", ""), "model.kernel is for model.family = \"cnn\""));
  CHECK(parse_job("[model]\nfamily = \"mlp\"\nhidden = [8]\nimage_height = 32\n[data]\nformat = \"idx\"\n").has_value());  // gives the inputs
  for (const std::string size : {"image_height", "image_width", "image_channels"}) {
    const std::string text = "[data]\nformat = \"text\"\n[model]\nfamily = \"transformer\"\n" + size + " = 9\n";
    CHECK(mentions(error_of(text), "model." + size + " is for images"));
    CHECK(parse_accepted_job(text).has_value());  // what an earlier version took starts with this one
    CHECK(mentions(error_of("[model]\n" + size + " = 9\n" + std::string(kTable).substr(std::string_view("\n[model]\n").size())),
                   "model." + size + " is for images"));
  }
  CHECK(mentions(mlp("", "[train]\nbeta1 = 0.8\n"), "train.beta1"));
  CHECK(mentions(error_of(with("final_ratio = 0.1\n")), "train.final_ratio is for a train.schedule that falls"));
  CHECK(mentions(error_of(with("decay = 0.1\nschedule = \"cosine\"\n")), "train.decay is for train.schedule = \"wsd\""));
  CHECK(mentions(error_of(with("muon_learning_rate = 0.1\n")), "train.muon_learning_rate"));
  CHECK(mentions(error_of(with("[server]\ntrim = 0.1\n")), "server.trim is for server.combine = \"trimmed_mean\""));
  CHECK(mentions(error_of(with("[server]\ntau = 0.1\n")), "server.tau"));
  CHECK(mentions(error_of(with("[server]\nmomentum = 0.5\n")), "server.momentum"));
  CHECK(mentions(error_of(with("[privacy]\nsecure_aggregation = false\nring_bits = 40\n")), "privacy.ring_bits"));
  CHECK(parse_job(with("final_ratio = 0.1\nschedule = \"cosine\"\n[server]\noptimizer = \"fedadam\"\ntau = 0.1\n")).has_value());
}

TEST_CASE("job: an oversized file is refused before it is parsed") {
  CHECK(mentions(error_of(std::string(kJobTomlBytesMax + 1, '#')), std::to_string(kJobTomlBytesMax)));
}

TEST_CASE("job: any prefix and any changed byte of a job file parse or fail cleanly") {
  const std::string text(kTable);
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto cut = parse_job(text.substr(0, i));
    CHECK((cut.has_value() || !cut.error().message.empty()));
    std::string changed = text;
    changed[i] = static_cast<char>(changed[i] ^ 0x15);
    const auto other = parse_job(changed);
    CHECK((other.has_value() || !other.error().message.empty()));
  }
}

TEST_CASE("job: sizes are whole numbers with a unit, and read back as the same number") {
  CHECK(size_from("4 GiB").value() == std::uint64_t{4} << 30);
  CHECK(size_from("512KiB").value() == 512 * 1024);
  CHECK(size_from("0 B").value() == 0);
  for (const std::uint64_t bytes : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1023}, std::uint64_t{1} << 20, (std::uint64_t{3} << 40) + 7})
    CHECK(size_from(size_text(bytes)).value() == bytes);
  CHECK(size_text(std::uint64_t{5} << 20) == "5 MiB");
  for (const std::string_view bad : {"", "4", "4 GB", "-1 B", "+1 B", "1.5 GiB", "GiB", "4  GiB", "99999999999999999999 B", "99999999999 TiB", "4 GiB "}) {
    CAPTURE(bad);
    const auto size = size_from(bad);
    REQUIRE(!size);
    CHECK(mentions(size.error().message, "as \"4 GiB\""));
  }
}

TEST_CASE("job: a quota reads back, and one under which no round can commit is refused with the least that would do") {
  const auto plain = [](const std::string& extra) { return with("[privacy]\nsecure_aggregation = false\n" + extra); };
  const auto job = parse_job(plain("[quota]\nnodes_max = 8\nupdate_bytes_max = \"1 GiB\""));
  REQUIRE(job.has_value());
  CHECK(job->quota == QuotaSpec{8, std::uint64_t{1} << 30});
  CHECK(parse_job(public_toml(*job))->quota == job->quota);
  CHECK(public_toml(*parse_job(kTenLines)).find("quota") == std::string::npos);
  CHECK(mentions(error_of(plain("[quota]\nnodes_max = 1")), "quota.nodes_max = 1: must be at least selection.min_clients = 2"));
  CHECK(mentions(error_of(plain("[quota]\nupdate_bytes_max = 5")), "must be text in quotes"));
  CHECK(mentions(error_of(plain("[quota]\nupdate_bytes_max = \"5\"")), "quota.update_bytes_max = \"5\""));
  CHECK(mentions(error_of(plain("[quota]\nupdate_bytes_max = \"2000 TiB\"")), "at most \"1024 TiB\""));
  CHECK(mentions(error_of(plain("[quota]\nnode_max = 1")), "did you mean \"quota.nodes_max\"?"));
  const std::uint64_t each = update_bytes_of(*job);
  const std::string least = "use at least \"" + size_text(2 * each) + "\"";
  CHECK(mentions(error_of(plain("[quota]\nupdate_bytes_max = \"" + std::to_string(2 * each - 1) + " B\"")), least));
  CHECK(parse_job(plain("[quota]\nupdate_bytes_max = \"" + std::to_string(2 * each) + " B\"")).has_value());
  const std::string attempt = "durability = \"attempt\"\n";
  CHECK(parse_job(attempt + plain("[quota]\nupdate_bytes_max = \"" + std::to_string(each) + " B\"")).has_value());
  CHECK(mentions(error_of(attempt + plain("[quota]\nupdate_bytes_max = \"1 B\"")), "one update has"));
}

TEST_CASE("job: what a model's style or blocks leave open has the usual values") {
  const auto gpt2 = parse_job(std::string(kTenLines).replace(kTenLines.find("[data]"), 0, "style = \"gpt2\"\n"));
  REQUIRE(gpt2.has_value());
  CHECK(gpt2->model.tied_head);
  CHECK(gpt2->model.ffn_width() == 512);
  const auto cifar = parse_job("[model]\nfamily = \"cnn\"\nblocks = \"cifar\"\n[data]\nformat = \"idx\"\n");
  REQUIRE(cifar.has_value());
  CHECK(cifar->model.conv_channels == std::vector<std::uint32_t>{64, 64});
  CHECK(cifar->model.dense == 384);
  CHECK(cifar->model.image_channels == 3);
  CHECK(cifar->model.classes == 10);
}

TEST_CASE("job: new settings are written only where they say something, and read back") {
  const auto plain = parse_job(kTenLines);
  REQUIRE(plain.has_value());
  for (const char* key : {"style", "kv_heads", "lora", "norm_epsilon", "start", "separator", "augment_flip", "precision", "micro_batch",
                          "frozen", "nesterov", "blocks", "batch_max", "batch_min", "frozen_storage"})
    CHECK_FALSE(mentions(to_toml(*plain), std::string(key) + " ="));
  std::string toml(kTenLines);
  toml.replace(toml.find("[data]"), 0,
               "kv_heads = 2\ntied_head = true\nrope_theta = 5e5\ndropout = 0.1\nnorm_epsilon = 1e-6\nstart = \"gpt2\"\n[model.lora]\nrank = 4\n");
  toml +=
      "micro_batch = 4\nlabel_smoothing = 0.1\nschedule = \"wsd\"\ndecay = 0.3\nprecision = \"bf16\"\n"
      "checkpointing = \"block\"\nfrozen = [\"adapters.0\"]\nfrozen_storage = \"int8\"\nbatch_max = 512\nbatch_min = 4\n";
  const auto spec = parse_job(toml);
  REQUIRE(spec.has_value());
  CHECK(spec->model.lora == LoraSpec{4, 16, 0, {"*"}});
  CHECK(spec->model.norm_epsilon == 1e-6);
  CHECK(spec->start == "gpt2");
  CHECK(spec->train.precision == Precision::kBf16);
  CHECK(spec->train.frozen == std::vector<std::string>{"adapters.0"});
  CHECK(spec->train.frozen_storage == FrozenStorage::kInt8);
  CHECK(spec->train.batch_max == 512);
  CHECK(spec->train.batch_min == 4);
  const auto again = parse_job(to_toml(*spec));
  REQUIRE(again.has_value());
  CHECK(*again == *spec);
}

TEST_CASE("job: data of documents are read back, and what does not fit is refused") {
  const std::string pin(64, 'b');
  const auto language = [](const std::string& model, const std::string& data) {
    return "[model]\nfamily = \"transformer\"\n" + model + "[data]\n" + data + "[train]\nlocal_steps = 1\n";
  };
  const auto tokens = parse_job(language("vocabulary = 500\n", "format = \"tokens\"\nseparator = 499\ndamaged_max = 3\n"));
  REQUIRE(tokens.has_value());
  CHECK(tokens->data.separator == 499U);
  CHECK(tokens->data.damaged_max == 3);
  CHECK(*parse_job(to_toml(*tokens)) == *tokens);
  const auto lines = parse_job(
      language("vocabulary = 500\n", "format = \"jsonl\"\nfield = \"body\"\ntokenizer_sha256 = \"" + pin + "\"\nseparator = 0\n"));
  REQUIRE(lines.has_value());
  CHECK(lines->data.field == "body");
  CHECK(lines->data.separator == 0U);
  CHECK(*parse_job(to_toml(*lines)) == *lines);
  CHECK(mentions(error_of(language("vocabulary = 500\n", "format = \"jsonl\"\n")), "data.tokenizer_sha256"));
  CHECK(mentions(error_of(language("vocabulary = 500\n", "format = \"tokens\"\nseparator = 500\n")), "data.separator = 500"));
  CHECK(mentions(error_of(language("start = \"../x\"\n", "format = \"text\"\n")), "model.start = \"../x\""));
  CHECK(mentions(error_of(language("start = \".x\"\n", "format = \"text\"\n")), "model.start"));
  const auto images = [](const std::string& family, const std::string& data) {
    return "[model]\nfamily = \"" + family + "\"\n[data]\nformat = \"idx\"\n" + data;
  };
  const auto changed = parse_job(images("cnn", "augment_flip = 0.5\naugment_crop = 4\n"));
  REQUIRE(changed.has_value());
  CHECK(*parse_job(to_toml(*changed)) == *changed);
  CHECK(mentions(error_of(images("cnn", "augment_crop = 28\n")), "data.augment_crop = 28"));
  CHECK(mentions(error_of(images("logistic", "augment_flip = 0.5\n")), "model.family = \"logistic\""));
}

TEST_CASE("job: training that does not go with the model is refused") {
  const auto mlp = [](const std::string& train) {
    return error_of("[model]\nfamily = \"mlp\"\nhidden = [4]\n[data]\nformat = \"idx\"\n[train]\n" + train);
  };
  CHECK(mentions(mlp("precision = \"bf16\""), "train.precision = \"bf16\": model.family = \"mlp\" computes in f32"));
  const auto cnn = [](const std::string& blocks, const std::string& precision) {
    return error_of("[model]\nfamily = \"cnn\"\nblocks = \"" + blocks + "\"\n[data]\nformat = \"idx\"\n[train]\nprecision = \"" + precision + "\"");
  };
  CHECK(mentions(cnn("fedavg", "fp16"), "train.precision = \"fp16\": model.family = \"cnn\" computes in f32 or bf16"));
  CHECK(mentions(cnn("separable", "bf16"), "with separable blocks computes in f32 alone"));
  CHECK(mentions(mlp("checkpointing = \"block\""), "train.checkpointing = \"block\""));
  CHECK(mentions(mlp("frozen = [\"model\"]"), "leaves nothing to train"));
  CHECK(mentions(mlp("frozen_storage = \"int8\""), "train.frozen_storage = \"int8\": it is for the frozen weights of transformers, and model.family = \"mlp\"; use \"auto\""));
  CHECK(mentions(error_of(with("frozen_storage = \"bf16\"\nfrozen = [\"embedding\"]")), "train.frozen_storage = \"bf16\": no weight of a block is frozen"));
  CHECK(mentions(error_of(with("frozen_storage = \"int4\"")), "train.frozen_storage = \"int4\": must be \"auto\", \"f32\", \"bf16\" or \"int8\""));
  CHECK(mentions(error_of(with("frozen = [\"layer.0\"]")), "train.frozen = \"layer.0\": names no shard"));
  CHECK(mentions(error_of(with("momentum = 0.9")), "belongs to sgd and muon"));
  CHECK(mentions(error_of(with("per_example_clip = 1\nprecision = \"fp16\"")), "train.per_example_clip = 1: does not go with"));
  CHECK(parse_job(with("per_example_clip = 0.5\nprecision = \"bf16\"")).value().train.per_example_clip == 0.5);
  CHECK(mentions(error_of(with("nesterov = true")), "train.nesterov = true: belongs to sgd"));
  CHECK(mentions(error_of(with("schedule = \"wsd\"\nwarmup = 0.5\ndecay = 0.6")), "is more than the whole job; try 0.5"));
}
