// Models and data of other tools, through the programs alone.
#include <doctest/doctest.h>

#include <cmath>
#include <csignal>
#include <filesystem>
#include <sstream>

#include "core/base/random.h"
#include "core/crypto/digest.h"
#include "core/data/hf/hf_folder.h"
#include "core/data/hf/hf_model.h"
#include "core/data/hf/peft_adapter.h"
#include "core/data/safetensors.h"
#include "core/data/tokens/token_shard.h"
#include "core/protocol/job_spec.h"
#include "core/spec/parameter_table.h"
#include "tests/system/federation.h"

using namespace covey;
using namespace covey::system_test;

namespace {

std::string vector_of(const std::string& name) { return std::string(COVEY_SOURCE_DIR) + "/tests/vectors/engine/" + name; }

// Documents of a vocabulary of 40 tokens, as the models of tests/vectors/engine have.
void write_tokens(const std::string& folder, std::uint64_t seed) {
  std::filesystem::create_directories(folder);
  auto writer = TokenShardWriter::create(folder + "/a.tokens", 40);
  REQUIRE(writer.has_value());
  Random random(seed);
  for (int document = 0; document < 30; ++document) {
    TokenIds ids(20 + random.below(20));
    for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<TextToken>((i * 3 + random.below(3)) % 40);
    REQUIRE(writer->add(ids).has_value());
  }
  REQUIRE(writer->finish().has_value());
}

struct Workbench {
  TemporaryFolder folder;
  Nursery nursery;
  nlohmann::json run(std::vector<std::string> arguments) {
    arguments.push_back("--json");
    const Process& process = nursery.run({"covey", std::move(arguments)}, 60);
    INFO(process.out() << process.errors());
    REQUIRE(process.code() == 0);
    return nlohmann::json::parse(process.out().substr(0, process.out().find('\n')));
  }
  double loss(const std::string& model, std::vector<std::string> more = {}) {
    std::vector<std::string> arguments{"evaluate", "--model", model, "--data", folder / "tokens", "--format", "tokens"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments).at("loss").get<double>();
  }
  std::string refused(std::vector<std::string> arguments) {
    const Process& process = nursery.run({"covey", std::move(arguments)}, 60);
    CHECK(process.code() != 0);
    return process.errors();
  }
};

bool mentions(const std::string& text, const std::string& words) { return text.find(words) != std::string::npos; }

}  // namespace

TEST_CASE("files: a folder of transformers is evaluated, goes on writing, and is exported in every form") {
  Workbench desk;
  write_tokens(desk.folder / "tokens", 1);
  for (const std::string name : {"hf_gpt2", "hf_llama"}) {
    CAPTURE(name);
    const std::string model = vector_of(name), out = desk.folder / name;
    const double loss = desk.loss(model, {"--logits", out + ".logits"});
    CHECK(loss > 1);
    CHECK(loss < 8);
    const std::string logits = read_text(out + ".logits");
    CHECK(mentions(desk.refused({"evaluate", "--model", model, "--data", out + ".logits", "--format", "text", "--logits", out + ".logits"}),
                   "is there already"));
    CHECK(read_text(out + ".logits") == logits);
    const auto file = from_safetensors(bytes_of(logits));
    REQUIRE(file.has_value());
    REQUIRE(file->tensors.size() == 2);
    CHECK(file->tensors[1].name == "logits");
    CHECK(file->tensors[1].shape.back() == 40);

    CHECK(desk.run({"export", "--model", model, "-o", out + ".hf"}).at("form") == "hf");
    CHECK(desk.loss(out + ".hf") == loss);
    desk.run({"export", "--model", model, "--to", "safetensors", "--file-size-max", "4 KiB", "-o", out + ".st"});
    CHECK(std::filesystem::exists(out + ".st/" + kModelIndexFile));
    CHECK(desk.loss(out + ".st", {"--separator", "7"}) > 0);
    desk.run({"export", "--model", model, "--to", "gguf", "-o", out + ".gguf"});
    CHECK(read_text(out + ".gguf").substr(0, 4) == "GGUF");
    CHECK(mentions(desk.refused({"export", "--model", model, "-o", out + ".hf"}), "is there already"));
    CHECK(mentions(desk.refused({"export", "--model", model, "--to", "peft", "-o", out + ".peft"}), "[model.lora]"));
    CHECK(mentions(desk.refused({"generate", "--model", model}), "--tokenizer"));
    CHECK(mentions(desk.refused({"generate", "--model", out + ".none"}), "name a folder of `covey pull`"));

    const std::string adapter = vector_of(name == "hf_gpt2" ? "adapter_gpt2" : "adapter_llama");
    const double adapted = desk.loss(model, {"--adapter", adapter});
    CHECK(adapted != loss);
    CHECK(mentions(desk.refused({"export", "--model", model, "--to", "gguf", "-o", desk.folder / "none/x.gguf"}), "none"));
    desk.run({"export", "--model", model, "--adapter", adapter, "-o", out + ".merged"});
    CHECK(desk.loss(out + ".merged") == adapted);
  }
}

TEST_CASE("files: a model whose figures are no numbers is said to be damaged, by evaluate and by generate") {
  Workbench desk;
  HfConfig config = HfFolder::open(vector_of("hf_llama")).value().config();
  config.vocabulary = 256;
  config.tied_head = false;
  const auto made = write_hf(desk.folder / "hot", {.config = config}, [](const HfPart& part) {
    std::vector<float> values(part.elements(), 0.5F);
    if (part.role == TensorRole::kHead) std::fill(values.begin(), values.end(), 3e38F);  // each is finite, their sums are not
    return Result<std::vector<float>>(std::move(values));
  });
  REQUIRE(made.has_value());
  desk.folder.write("text/a.txt", std::string(400, 'a'));
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"evaluate", "--model", desk.folder / "hot", "--data", desk.folder / "text"},
        std::vector<std::string>{"generate", "--model", desk.folder / "hot", "--prompt", "a", "--tokens", "5"}}) {
    const Process& process = desk.nursery.run({"covey", arguments}, 60);
    INFO(process.out() << process.errors());
    CHECK(process.code() == 2);
    CHECK(process.says("training diverged; use another model"));
    CHECK(process.says("hot"));
  }
}

TEST_CASE("files: text becomes token files, once, with the tokenizer beside them") {
  Workbench desk;
  const std::string tokenizer = vector_of("tokenizers/gpt2.json");
  desk.folder.write("in/a.jsonl", "{\"body\":\"one two\"}\nnot json\n{\"body\":\"three\"}\n");
  const std::string out = desk.folder / "out";
  const std::vector<std::string> command{"tokenize", desk.folder / "in", "-o", out, "--tokenizer", tokenizer, "--field", "body"};
  const auto made = desk.run(command);
  CHECK(made.at("documents") == 2);
  CHECK(made.at("damaged") == 1);
  CHECK(made.at("tokenizer_sha256") == hex(sha256(bytes_of(read_text(tokenizer))).span()));
  CHECK(read_text(out + "/tokenizer.json") == read_text(tokenizer));
  const auto shard = TokenShard::open(out + "/part-00000.tokens");
  REQUIRE(shard.has_value());
  CHECK(shard->records() == 2);
  CHECK(shard->tokens(0) + shard->tokens(1) == made.at("tokens").get<std::uint32_t>());
  CHECK(mentions(desk.refused(command), "is there already"));

  // A tokenizer that is larger than the model's vocabulary is refused.
  std::filesystem::copy(vector_of("hf_gpt2"), desk.folder / "model");
  write_text(desk.folder / "model/tokenizer.json", to_tokenizer_json(byte_tokenizer()));
  CHECK(mentions(desk.refused({"evaluate", "--model", desk.folder / "model", "--data", out, "--format", "tokens"}), "256"));

  std::vector<std::string> strict = command;
  strict[3] = desk.folder / "strict";
  strict.insert(strict.end(), {"--damaged-max", "0"});
  CHECK(mentions(desk.refused(strict), "line 2"));
  CHECK(!std::filesystem::exists(strict[3]));
  CHECK(!std::filesystem::exists(strict[3] + ".partial"));
  CHECK(mentions(desk.refused({"tokenize", desk.folder / "none", "-o", out + "2"}), "none"));
  CHECK(desk.run({"tokenize", desk.folder / "in", "--format", "text", "-o", out + "3"}).at("documents") == 1);  // as bytes
  write_text(desk.folder / "in/tokenizer.json", read_text(tokenizer));  // lies beside the text, and is none
  CHECK(desk.run({"tokenize", desk.folder / "in", "--format", "text", "-o", out + "4"}).at("documents") == 1);
}

TEST_CASE("files: what is to be written is looked at first, and a setting that would act on nothing is refused") {
  Workbench desk;
  desk.folder.write("in/a.txt", "one two three");
  const std::string in = desk.folder / "in";
  CHECK(mentions(desk.refused({"tokenize", in, "-o", desk.folder / "t", "--field", "body"}), "--field body: belongs to jsonl"));
  CHECK(mentions(desk.refused({"tokenize", in, "-o", desk.folder / "t", "--damaged-max", "3"}), "--damaged-max 3: belongs to jsonl"));
  CHECK_FALSE(std::filesystem::exists(desk.folder / "t.partial"));
  const std::string model = vector_of("hf_llama");
  for (const std::string form : {"hf", "safetensors", "gguf"})
    CHECK(mentions(desk.refused({"export", "--model", model, "--to", form, "-o", desk.folder / "none/x"}), "none does not exist; make it"));
  CHECK(mentions(desk.refused({"tokenize", in, "-o", desk.folder / "none/x"}), "none does not exist; make it"));
  CHECK_FALSE(std::filesystem::exists(desk.folder / "none"));
  desk.run({"tokenize", in, "-o", desk.folder / "slash/"});
  CHECK(std::filesystem::exists(desk.folder / "slash/part-00000.tokens"));
}

TEST_CASE("files: a tokenizer is asked for where there is one to name, by every program that reads the data") {
  Workbench desk;
  const std::string tokenizer = to_tokenizer_json(byte_tokenizer()), given = desk.folder.write("else/tokenizer.json", tokenizer);
  std::string text;
  for (int line = 0; line < 200; ++line) text += "line " + std::to_string(line) + "\n";
  desk.folder.write("text/a.txt", text);
  const auto job_with = [](const std::string& pin) {
    return "name = \"bytes\"\nrounds = 1\n[model]\nfamily = \"transformer\"\nlayers = 1\nwidth = 32\ncontext = 16\nvocabulary = 256\n[data]\n" + pin +
           "[train]\nlocal_steps = 1\nbatch_size = 2\n[privacy]\nsecure_aggregation = false\n";
  };
  const auto plain = parse_job(job_with(""));
  REQUIRE(plain.has_value());
  const ParameterTable table = parameter_table(plain->model);
  const Bytes model = to_safetensors(table, std::vector<float>(table.size, 0.01F), {{"format", "pt"}, {"covey.job_toml", to_toml(*plain)}});
  desk.folder.write("bytes/model.safetensors", std::string(text_of(model)));
  const Process& exported = desk.nursery.run({"covey", {"export", "--model", desk.folder / "bytes", "-o", desk.folder / "hf"}}, 60);
  INFO(exported.errors());
  CHECK(exported.code() == 0);
  CHECK(exported.says("the model reads bytes"));
  CHECK_FALSE(exported.says("--tokenizer"));

  const std::string job = desk.folder.write("job.toml", job_with("tokenizer_sha256 = \"" + hex(sha256(bytes_of(tokenizer)).span()) + "\"\n"));
  for (const Launch& launch : {Launch{"covey", {"bench", "train", "--job", job, "--data", desk.folder / "text", "--seconds", "0.1", "--threads", "1"}},
                               Launch{"covey-sim", {"run", job, "--data", desk.folder / "text", "--clients", "2"}}}) {
    const Process& lacks = desk.nursery.run(launch, 60);
    CHECK(lacks.code() == 2);
    CHECK(lacks.says("name its tokenizer.json with --tokenizer"));
    CHECK_FALSE(lacks.says("name another place"));
    Launch with = launch;
    with.arguments.insert(with.arguments.end(), {"--tokenizer", given});
    const Process& runs = desk.nursery.run(with, 60);
    INFO(runs.out() << runs.errors());
    CHECK(runs.code() == 0);
  }
}

TEST_CASE("files: an evaluation that is interrupted gives the figures of what it measured") {
  Workbench desk;
  std::filesystem::create_directories(desk.folder / "tokens");
  auto writer = TokenShardWriter::create(desk.folder / "tokens/a.tokens", 40);
  REQUIRE(writer.has_value());
  TokenIds ids(5000);
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<TextToken>(i * 7 % 40);
  for (int document = 0; document < 400; ++document) REQUIRE(writer->add(ids).has_value());
  REQUIRE(writer->finish().has_value());
  const std::string first = desk.folder / "first.safetensors";  // is there once the first batch was measured
  Process& evaluates = desk.nursery.start({"covey", {"evaluate", "--model", vector_of("hf_gpt2"), "--data", desk.folder / "tokens", "--format",
                                                     "tokens", "--logits", first, "--json"}});
  for (int tries = 0; tries < 3000 && !std::filesystem::exists(first); ++tries) desk.nursery.until([] { return false; }, 0.01);
  REQUIRE(std::filesystem::exists(first));
  evaluates.signal(SIGINT);
  desk.nursery.finish(evaluates);
  INFO(evaluates.out() << evaluates.errors());
  CHECK(evaluates.code() == 130);
  const auto told = nlohmann::json::parse(evaluates.out());
  CHECK(told.at("interrupted") == true);
  CHECK(told.at("examples") >= 8);
  CHECK(told.at("examples") < 100'000);
  CHECK(told.at("loss").get<double>() > 1);
  CHECK(evaluates.says("interrupted: these figures are of the first "));
}

TEST_CASE("files: adapters are trained on a published model, from token files, over a client's restart") {
  Federation federation(2);
  for (std::size_t client = 0; client < 2; ++client) {
    std::filesystem::remove_all(federation.data_of(client));
    write_tokens(federation.data_of(client), client + 1);
  }
  federation.start_all();
  const std::string left = federation.home() + "/coordinator/models/small.partial.partial";  // as by an import that was killed
  std::filesystem::create_directories(left);
  write_text(left + "/config.json", "{");
  const Process& import = federation.covey({"import", vector_of("hf_llama"), "--name", "small", "--json"});
  INFO(import.errors());
  REQUIRE(import.code() == 0);
  const std::string lines = nlohmann::json::parse(import.out()).at("job_lines").get<std::string>();
  const Process& taken = federation.covey({"import", vector_of("hf_llama"), "--name", "small"});
  CHECK(taken.code() == 2);
  CHECK(taken.says("give this one another name with --name"));
  CHECK_FALSE(std::filesystem::exists(left));

  const auto job = [&](const std::string& name, const std::string& model, const std::string& data, int rounds) {
    const std::string path = federation.folder() + "/" + name + ".toml";
    write_text(path, "name = \"" + name + "\"\nrounds = " + std::to_string(rounds) + "\n" + model +
                         "[model.lora]\nrank = 2\ntargets = [\"*q_proj\"]\n[data]\nformat = \"tokens\"\nholdout = 0.2\n" + data +
                         "[train]\nlocal_steps = 2\nbatch_size = 2\nlearning_rate = 0.01\noptimizer = \"adamw\"\n"
                         "[selection]\nmin_clients = 2\n[round]\ndeadline_s = 30\nquorum = 1\n"
                         "[privacy]\nsecure_aggregation = false\n");
    const Process& run = federation.covey({"run", "--detach", "--json", path});
    INFO(run.errors());
    REQUIRE(run.code() == 0);
    return nlohmann::json::parse(run.out()).at("job").get<JobId>();
  };
  const JobId first = job("adapters", lines, "", 6);
  // The same job in the simulator, where the folder is named.
  const std::string path = federation.folder() + "/adapters.toml";
  const std::vector<std::string> simulate{"run", path, "--data", federation.data_of(0), "--clients", "2", "--json"};
  const Process& unnamed = federation.nursery().run({"covey-sim", simulate});
  CHECK(unnamed.code() == 2);
  CHECK(unnamed.says("with --start"));
  std::vector<std::string> named = simulate;
  named.insert(named.end(), {"--start", vector_of("hf_llama"), "-o", federation.folder() + "/simulated.safetensors"});
  const Process& simulated = federation.nursery().run({"covey-sim", named}, 60);
  INFO(simulated.out() << simulated.errors());
  CHECK(simulated.code() == 0);
  named[8] = vector_of("hf_gpt2");
  CHECK(federation.nursery().run({"covey-sim", named}).says("--start"));
  federation.until([&] { return federation.client(0).count("training_done") >= 2; });
  federation.nursery().kill(federation.client(0));
  federation.start_client(0);
  CHECK(federation.await_end(first) == "job_finished");
  // Two blocks' queries, 2 x (16 + 16) values each, of 5,328: what each of two clients sends.
  const Process& watched = federation.covey({"watch", std::to_string(first), "--json"});
  REQUIRE(watched.code() == 0);
  std::size_t rounds = 0;
  std::istringstream told(watched.out());
  for (std::string line; std::getline(told, line);) {
    const auto row = nlohmann::json::parse(line);
    if (row.value("event", "") != "round") continue;
    ++rounds;
    CHECK(row.at("update_bytes") == 2 * 4 * 128);
  }
  CHECK(rounds == 6);
  const std::string pulled = federation.folder() + "/pulled", adapter = federation.folder() + "/adapter";
  REQUIRE(federation.covey({"pull", std::to_string(first), "-o", pulled}).code() == 0);
  Nursery nursery;
  const Process& exported = nursery.run({"covey", {"export", "--model", pulled, "--to", "peft", "-o", adapter}});
  INFO(exported.errors());
  REQUIRE(exported.code() == 0);
  const Process& whole = nursery.run({"covey", {"export", "--model", pulled, "-o", federation.folder() + "/whole"}});
  CHECK(whole.says("no tokenizer goes along"));
  const Process& twice = nursery.run({"covey", {"evaluate", "--model", pulled, "--data", pulled, "--adapter", adapter}});
  CHECK(twice.code() == 2);
  CHECK(twice.says("trained adapters of its own"));
  const auto published = HfFolder::open(vector_of("hf_llama"));
  REQUIRE(published.has_value());
  const auto trained = read_peft(adapter, published->config());
  REQUIRE(trained.has_value());
  double moved = 0;
  for (const LoraPart& part : trained->parts)
    for (const float value : part.b) moved += std::abs(value);
  CHECK(moved > 0);

  // The base is the published one, bit for bit: it was not trained.
  const std::string bytes = read_text(pulled + "/model.safetensors");
  const auto file = from_safetensors(bytes_of(bytes));
  REQUIRE(file.has_value());
  const auto embedding = published->read(published->parts()[0]);
  REQUIRE(embedding.has_value());
  for (const NamedTensor& tensor : file->tensors)
    if (tensor.name == "model.embed_tokens.weight") CHECK(tensor.values == *embedding);

  // The restart changed nothing: without one the same job makes the same bits, from the same windows.
  const JobId second = job("adapters", lines, "", 6);
  CHECK(federation.await_end(second) == "job_finished");
  const std::string undisturbed = federation.folder() + "/undisturbed";
  REQUIRE(federation.covey({"pull", std::to_string(second), "-o", undisturbed}).code() == 0);
  const std::string simulated_bytes = read_text(federation.folder() + "/simulated.safetensors");
  const auto twin = from_safetensors(bytes_of(simulated_bytes));
  REQUIRE(twin.has_value());
  for (const NamedTensor& tensor : twin->tensors)
    if (tensor.name == "model.embed_tokens.weight") CHECK(tensor.values == *embedding);
  const std::string other_bytes = read_text(undisturbed + "/model.safetensors");
  const auto other = from_safetensors(bytes_of(other_bytes));
  REQUIRE(other.has_value());
  REQUIRE(other->tensors.size() == file->tensors.size());
  for (std::size_t i = 0; i < file->tensors.size(); ++i) CHECK(other->tensors[i].values == file->tensors[i].values);

  const JobId pinned = job("pinned", lines, "tokenizer_sha256 = \"" + std::string(64, 'a') + "\"\n", 1);
  federation.until([&] { return federation.client(1).says("data.tokenizer_sha256"); });
  CHECK(federation.client(1).says("and there is none: name its tokenizer.json with --tokenizer"));
  federation.covey({"stop", std::to_string(pinned)});
  const JobId absent = job("absent", std::string(lines).replace(lines.find("small"), 5, "other"), "", 1);
  CHECK(federation.await_end(absent) == "job_failed");
  CHECK(mentions(federation.covey({"list"}).out(), "there are small"));
  const Process& none = federation.covey({"pull", std::to_string(absent), "--json"});
  CHECK(none.code() == 1);
  CHECK(nlohmann::json::parse(none.out()).at("exit_code") == 1);
  CHECK(mentions(none.errors(), "is failed and has no model: "));
  CHECK(mentions(none.errors(), "there are small"));

  const Process& listed = federation.covey({"models", "--json"});
  CHECK(nlohmann::json::parse(listed.out()).at("name") == "small");
  CHECK(nlohmann::json::parse(listed.out()).at("parameters") == parameter_table(model_spec_of(published->config(), 0).value()).size);
  // One bit of a weight that stays a number: the job does not train on from it.
  const std::string stored = federation.home() + "/coordinator/models/small", weights = stored + "/model.safetensors";
  std::string flipped = read_text(weights);
  flipped[flipped.size() - 3] = static_cast<char>(flipped[flipped.size() - 3] ^ 1);
  write_text(weights, flipped);
  CHECK(federation.await_end(job("damaged", lines, "", 1)) == "job_failed");
  CHECK(mentions(federation.covey({"list"}).out(), "model.safetensors has other bytes than `covey import` wrote"));
  const Process& damaged = federation.covey({"models", "--json"});
  CHECK(mentions(nlohmann::json::parse(damaged.out()).at("text"), "model.safetensors has other bytes"));
  CHECK(!federation.coordinator().has("start_unverified"));
  CHECK(federation.covey({"models", "--remove", "../data"}).says("there is no such model"));
  CHECK(federation.covey({"models", "--remove", "small"}).code() == 0);
  CHECK(!std::filesystem::exists(federation.home() + "/coordinator/models/small"));
  CHECK(mentions(federation.covey({"models"}).out(), "no model was imported yet"));
}

TEST_CASE("files: JSON lines are encoded with the tokenizer that the job pins, and damage is counted") {
  Federation federation(2);
  const std::string tokenizer = read_text(vector_of("tokenizers/gpt2.json"));
  for (std::size_t client = 0; client < 2; ++client) {
    std::filesystem::remove_all(federation.data_of(client));
    std::filesystem::create_directory(federation.data_of(client));
    std::string lines = "{\"body\":\"cut short\n";
    for (int i = 0; i < 40; ++i) lines += "{\"body\":\"line " + std::to_string(i) + " of the clients' own text\"}\n";
    write_text(federation.data_of(client) + "/a.jsonl", lines);
    write_text(federation.data_of(client) + "/tokenizer.json", tokenizer);
  }
  federation.start_all();
  const auto submit = [&](const std::string& name, int damaged_max) {
    const std::string path = federation.folder() + "/" + name + ".toml";
    write_text(path, "name = \"" + name + "\"\nrounds = 2\n[model]\nfamily = \"transformer\"\nvocabulary = 480\nlayers = 1\n"
                     "width = 8\nheads = 2\ncontext = 8\n[data]\nformat = \"jsonl\"\nfield = \"body\"\nseparator = 0\n"
                     "tokenizer_sha256 = \"" + hex(sha256(bytes_of(tokenizer)).span()) + "\"\ndamaged_max = " +
                     std::to_string(damaged_max) + "\n[train]\nlocal_steps = 2\nbatch_size = 2\n"
                     "[selection]\nmin_clients = 2\n[round]\ndeadline_s = 30\nquorum = 1\n[privacy]\nsecure_aggregation = false\n");
    const Process& run = federation.covey({"run", "--detach", "--json", path});
    INFO(run.errors());
    REQUIRE(run.code() == 0);
    return nlohmann::json::parse(run.out()).at("job").get<JobId>();
  };
  const JobId job = submit("lines", 1);
  CHECK(federation.await_end(job) == "job_finished");
  const LogLine* damaged = federation.client(0).last("data_damaged");
  REQUIRE(damaged != nullptr);
  CHECK(damaged->number("passed_over") == 1);
  const std::string pulled = federation.folder() + "/pulled";
  const Process& without = federation.covey({"pull", std::to_string(job), "-o", pulled});
  REQUIRE(without.code() == 0);
  CHECK(without.says("the job pins a tokenizer that is not on this machine"));
  Workbench desk;
  CHECK(mentions(desk.refused({"evaluate", "--model", pulled, "--data", federation.data_of(0)}), "name its tokenizer.json"));
  const auto found = desk.run({"evaluate", "--model", pulled, "--data", federation.data_of(0), "--tokenizer", federation.data_of(1)});
  CHECK(found.at("damaged") == 1);
  CHECK(found.at("loss").get<double>() < 8);
  desk.folder.write("tokenizer.json", to_tokenizer_json(byte_tokenizer()));
  CHECK(mentions(desk.refused({"generate", "--model", pulled, "--tokenizer", desk.folder.path()}), "another tokenizer than the model's"));
  const auto text = desk.run({"generate", "--model", pulled, "--tokenizer", federation.data_of(1), "--prompt", "line", "--tokens", "5"});
  CHECK(text.at("tokens") == 5);
  CHECK(mentions(desk.refused({"generate", "--model", pulled, "--tokenizer", pulled + "/job.toml"}), "name that file, or its folder"));
  CHECK(mentions(desk.refused({"generate", "--model", pulled, "--tokenizer", pulled}), "holds no tokenizer.json"));
  CHECK(mentions(federation.covey({"pull", std::to_string(job), "-o", pulled, "--tokenizer", desk.folder.path()}).errors(),
                 "another tokenizer than the job's"));
  // It goes along: the one that is named, or that of an imported model; then nothing else is needed.
  const std::string given = federation.folder() + "/given", found_here = federation.folder() + "/found-here";
  CHECK(federation.covey({"pull", std::to_string(job), "-o", given, "--tokenizer", federation.data_of(1)}).code() == 0);
  CHECK(read_text(given + "/tokenizer.json") == tokenizer);
  std::filesystem::copy(vector_of("hf_gpt2"), desk.folder / "gpt2");
  write_text(desk.folder / "gpt2/tokenizer.json", tokenizer);
  REQUIRE(federation.covey({"import", desk.folder / "gpt2"}).code() == 0);
  CHECK(!federation.covey({"pull", std::to_string(job), "-o", found_here}).says("not on this machine"));
  const Process& refused_import = federation.covey({"import", found_here});
  CHECK(refused_import.code() == 2);
  CHECK(refused_import.says("covey export --model " + found_here + " --to hf"));
  CHECK(desk.run({"generate", "--model", found_here, "--prompt", "line", "--tokens", "5"}).at("text") == text.at("text"));
  desk.run({"export", "--model", found_here, "--to", "safetensors", "-o", desk.folder / "st"});
  CHECK(read_text(desk.folder / "st/tokenizer.json") == tokenizer);

  // Text comes as it is drawn, and Ctrl-C leaves what there is.
  Process& writes = desk.nursery.start({"covey", {"generate", "--model", found_here, "--prompt", "line", "--tokens", "1000000"}});
  CHECK(desk.nursery.until([&] { return writes.out().size() > 200; }, 20));
  writes.signal(SIGINT);
  desk.nursery.finish(writes);
  CHECK(writes.code() == 130);
  CHECK(writes.out().substr(0, 4) == "line");
  CHECK(writes.says("interrupted after "));

  const JobId strict = submit("strict", 0);
  federation.until([&] { return federation.client(0).has("data_refused"); });
  CHECK(federation.client(0).says("line 1"));
  federation.covey({"stop", std::to_string(strict)});
}
