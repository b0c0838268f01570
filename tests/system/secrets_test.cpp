// Every secret of a federation, looked for in all that its processes say and leave behind.
#include <doctest/doctest.h>

#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <filesystem>

#include "core/crypto/z85.h"
#include "core/protocol/certificate.h"
#include "tests/system/federation.h"
#include "tests/system/figure_line.h"

using namespace covey;
using namespace covey::system_test;
namespace fs = std::filesystem;

namespace {

struct Needle {
  std::string name;
  std::string text;
};

// One secret in every form in which a program could write it.
void add_forms(std::vector<Needle>& needles, const std::string& name, ByteSpan secret) {
  const std::string lower = hex(secret);
  std::string upper = lower;
  std::transform(upper.begin(), upper.end(), upper.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  needles.push_back({name + " raw", std::string(text_of(secret))});
  needles.push_back({name + " hex", lower});
  needles.push_back({name + " upper hex", upper});
  std::string url = base64url(secret);
  needles.push_back({name + " base64url", url});
  std::replace(url.begin(), url.end(), '-', '+');
  std::replace(url.begin(), url.end(), '_', '/');
  needles.push_back({name + " base64", url});
  if (secret.size() % 4 == 0) needles.push_back({name + " Z85", z85(secret)});
  std::string json;
  for (const std::uint8_t byte : secret.first(16)) json += (json.empty() ? "" : ",") + std::to_string(byte);
  needles.push_back({name + " numbers", json});
}

void add_keys_below(std::vector<Needle>& needles, const std::string& folder) {
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.path().extension() != ".key") continue;
    const std::string line = read_text(entry.path().string());  // "<kind> <hex>\n"
    const auto secret = from_hex(std::string_view(line).substr(line.find(' ') + 1, 64));
    REQUIRE(secret);
    add_forms(needles, entry.path().filename().string(), *secret);
  }
}

void add_token(std::vector<Needle>& needles, std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  const auto token = join_token_from(text);
  REQUIRE(token);
  needles.push_back({"token text", text});
  needles.push_back({"token text's end", text.substr(text.size() - 40)});
  add_forms(needles, "token's signing key", token->one_time_signing.seed().expose());
  add_forms(needles, "token's curve key", token->one_time_curve.secret().expose());
}

std::size_t hits(const std::vector<Needle>& needles, const std::string& where, const std::string& text) {
  std::size_t found = 0;
  for (const Needle& needle : needles) {
    if (text.find(needle.text) == std::string::npos) continue;
    ++found;
    MESSAGE(needle.name << " in " << where);
  }
  return found;
}

}  // namespace

TEST_CASE("secrets: none in any log, journal, store, backup, list of processes or core") {
  rlimit core{};
  REQUIRE(::getrlimit(RLIMIT_CORE, &core) == 0);
  const rlimit raised{core.rlim_max, core.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_CORE, &raised) == 0);  // a core would be written if the programs let it
  Federation federation(2);
  const std::string cores = federation.folder() + "/cores";
  fs::create_directory(cores);
  Launch launch = federation.coordinator_launch();
  launch.arguments.push_back("--verbose");
  launch.folder = cores;
  Process& coordinator = federation.start_coordinator(launch);
  std::vector<Needle> needles;
  std::vector<Process*> said{&coordinator};
  for (std::size_t i = 0; i < 2; ++i) {
    const Process& made = federation.covey({"token"});
    REQUIRE(made.code() == 0);
    add_token(needles, made.out());
    std::string text = made.out();
    text.pop_back();
    Launch client = federation.client_launch(i);
    client.arguments.insert(client.arguments.end(), {"--verbose", "--name", Federation::name_of(i), "--token", text});
    client.folder = cores;
    said.push_back(&federation.start_client(i, client));
  }
  add_keys_below(needles, federation.folder());
  CHECK(needles.size() >= 7 * (2 * 2 + 4 + 2 * 2));
  CHECK(hits(needles, "the control", "x" + needles[needles.size() - 6].text + "y") == 1);  // the search does find

  std::size_t found = 0, bytes = 0;
  const auto search = [&](const std::string& where, const std::string& text) {
    found += hits(needles, where, text);
    bytes += text.size();
  };
  for (const Process* process : said)
    search("the arguments of " + process->name(), read_text("/proc/" + std::to_string(process->pid()) + "/cmdline"));
  const JobId job = federation.submit({.rounds = 3, .min_clients = 2});
  REQUIRE(federation.await_end(job) == "job_finished");
  const Process& refused = federation.nursery().run({"covey-client", {"--home", federation.folder() + "/x", "--data", federation.data_of(0), "--token", needles[0].text, "--name", "thief"}});
  CHECK(refused.code() == 5);  // a spent token, told without its text
  search("a refused client's words", refused.errors() + refused.out());
  const Process& journal = federation.covey({"log", "--json"});
  search("the journal", journal.out());
  REQUIRE(federation.covey({"backup", federation.folder() + "/backup"}).code() == 0);

  for (Process* process : said) {
    CHECK(read_text("/proc/" + std::to_string(process->pid()) + "/limits").find("Max core file size        0                    0") != std::string::npos);
    process->signal(SIGABRT);
    CHECK(federation.until([&] { return process->ended(); }));
    CHECK(process->code() == 128 + SIGABRT);
    search("the log of " + process->name(), process->errors() + process->out());
  }
  CHECK(fs::is_empty(cores));
  const auto core_files = static_cast<double>(std::distance(fs::directory_iterator(cores), fs::directory_iterator()));
  for (const auto& entry : fs::recursive_directory_iterator(federation.folder()))
    if (entry.is_regular_file() && entry.path().extension() != ".key") search(entry.path().string(), read_text(entry.path().string()));
  REQUIRE(::setrlimit(RLIMIT_CORE, &core) == 0);
  CHECK(found == 0);
  CHECK(bytes > 10'000);
  figure("secret_hits", static_cast<double>(found));
  figure("secret_needles", static_cast<double>(needles.size()));
  figure("secret_bytes_searched", static_cast<double>(bytes));
  figure("core_files", core_files);
}
