// covey bench train, as a person runs it.
#include <doctest/doctest.h>

#include <signal.h>

#include <filesystem>
#include <set>
#include <string>

#include "core/base/random.h"
#include "tests/core/base/temporary_folder.h"
#include "tests/system/federation.h"

using namespace covey;
using namespace covey::system_test;

namespace {

Process& bench(Nursery& nursery, std::vector<std::string> arguments, double seconds = 120) {
  arguments.insert(arguments.begin(), {"bench", "train"});
  return nursery.run({"covey", std::move(arguments)}, seconds);
}

nlohmann::json measured(Nursery& nursery, std::vector<std::string> arguments) {
  arguments.insert(arguments.end(), {"--json", "--threads", "1", "--seconds", "0.3"});
  const Process& process = bench(nursery, std::move(arguments));
  INFO(process.errors());
  REQUIRE(process.code() == 0);
  return nlohmann::json::parse(process.out());
}

// What must hold between the figures, however fast the machine is.
void check_figures(const nlohmann::json& figures, const char* speed, double of_example, double close = 1e-6) {
  INFO(figures.dump());
  CHECK(figures.at("steps").get<int>() >= 3);
  CHECK(figures.at("seconds").get<double>() > 0);
  CHECK(figures.at(speed).get<double>() > 0);
  const double examples = figures.at(speed).get<double>() / of_example;  // a second
  CHECK(figures.at("flops_per_s").get<double>() == doctest::Approx(examples * figures.at("flops_per_example").get<double>()).epsilon(close));
  CHECK(figures.at("product_peak_f32").get<double>() > 0);
  CHECK(figures.at("product_peak_bf16").get<double>() > 0);
  const char* peak = figures.at("precision") == "bf16" ? "product_peak_bf16" : "product_peak_f32";
  CHECK(figures.at("share_of_peak").get<double>() == doctest::Approx(figures.at("flops_per_s").get<double>() / figures.at(peak).get<double>()).epsilon(1e-6));
  CHECK(figures.at("peak_bytes").get<double>() > 1e6);
  CHECK((figures.at("joules").is_number() || !figures.at("why_no_joules").get<std::string>().empty()));
  CHECK(figures.at("interrupted") == false);
}

std::set<std::string> left_behind() {
  std::set<std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::temp_directory_path()))
    if (entry.path().filename().string().starts_with("covey-bench-")) found.insert(entry.path().string());
  return found;
}

// The first that was not there before; others may run here too, and end.
std::string new_since(const std::set<std::string>& before) {
  for (const std::string& path : left_behind())
    if (!before.contains(path)) return path;
  return {};
}

}  // namespace

TEST_CASE("bench train: a preset on noise") {
  Nursery nursery;
  const nlohmann::json mlp = measured(nursery, {"--preset", "mlp"});
  check_figures(mlp, "samples_per_s", 1);
  CHECK(mlp.at("flops_per_example") == 879'200);
  CHECK(mlp.at("precision") == "f32");
  CHECK(mlp.at("batch_size") == 32);
  check_figures(measured(nursery, {"--preset", "llama-6x256", "--batch", "2", "--precision", "bf16"}), "tokens_per_s", 256);
}

TEST_CASE("bench train: a job on its own data, and what is printed for people") {
  TemporaryFolder folder;
  std::string text;
  while (text.size() < 20'000) text += "the quick brown fox jumps over the lazy dog.\n";
  folder.write("text/fox.txt", text);
  const std::string job = folder.write("job.toml", "[model]\nfamily = \"transformer\"\nlayers = 1\nwidth = 32\ncontext = 64\n[data]\nformat = \"text\"\n"
                                                    "[train]\nbatch_size = 8\nmicro_batch = 4\nbatch_max = 16\n");
  Nursery nursery;
  const nlohmann::json figures = measured(nursery, {"--job", job, "--data", folder / "text"});
  check_figures(figures, "tokens_per_s", 64, 0.01);  // the last window has fewer
  CHECK(figures.at("micro_batch") == 4);
  const Process& process = bench(nursery, {"--job", job, "--threads", "2", "--seconds", "0.2", "--checkpointing", "block"});
  INFO(process.out() << process.errors());
  CHECK(process.code() == 0);
  for (const char* words : {"blocks computed twice", "2 threads, noise as data", "tokens/s", "FLOP a step", "of the peak", "peak memory", "energy"})
    CHECK(process.says(words));
}

TEST_CASE("bench train: what is wrong is named") {
  Nursery nursery;
  TemporaryFolder folder;
  const auto refused = [&](std::vector<std::string> arguments, int code, std::initializer_list<const char*> words) {
    const Process& process = bench(nursery, std::move(arguments), 30);
    INFO(process.out() << process.errors());
    CHECK(process.code() == code);
    for (const char* word : words) CHECK(process.says(word));
  };
  refused({}, 2, {"--job FILE", "--preset NAME", "gpt-6x256"});
  refused({"--preset", "gpt-9"}, 2, {"gpt-9", "llama-6x256"});
  refused({"--preset", "mlp", "--job", "x"}, 2, {"--job"});
  refused({"--job", folder / "none.toml"}, 2, {"none.toml"});
  refused({"--job", folder.write("bad.toml", "[model]\nfamly = \"mlp\"\n")}, 2, {"bad.toml", "famly", "family"});
  refused({"--preset", "mlp", "--precision", "f8"}, 2, {"--precision", "f8"});
  refused({"--preset", "mlp", "--seconds", "0"}, 2, {"--seconds"});
  refused({"--preset", "mlp", "--data", "x"}, 2, {"--data", "--job FILE"});
  refused({"--preset", "gpt2-124m", "--memory", "0.1"}, 6, {"training takes at least", "102 MiB"});
  refused({"--preset", "mlp", "--micro-batch", "64"}, 2, {"train.micro_batch", "64"});
  CHECK(bench(nursery, {"--help"}).says("--preset"));
}

TEST_CASE("bench train: Ctrl-C ends it with what was measured, and nothing is left") {
  const std::set<std::string> before = left_behind();
  Nursery nursery;
  Process& process = nursery.start({"covey", {"bench", "train", "--preset", "mlp", "--seconds", "600", "--threads", "1", "--json"}});
  // It writes nothing meanwhile, so that it is looked at now and then.
  std::string made;
  for (int i = 0; i < 1200 && made.empty() && !process.ended(); ++i) {
    nursery.until([] { return false; }, 0.05);
    made = new_since(before);
  }
  REQUIRE_FALSE(made.empty());
  process.signal(SIGINT);
  nursery.finish(process, 60);
  INFO(process.errors());
  CHECK(process.code() == 130);
  if (!process.out().empty()) CHECK(nlohmann::json::parse(process.out()).at("interrupted") == true);
  CHECK_FALSE(std::filesystem::exists(made));
}
