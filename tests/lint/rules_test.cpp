// Plants violations and checks that the rules catch them, and let their neighbours pass.
#include "tests/lint/rules.h"

#include <doctest/doctest.h>

#include <set>
#include <string>

#include "tests/lint/log_events.h"
#include "tests/lint/source_text.h"

namespace covey::lint {
namespace {

std::string joined(const Violations& violations) {
  std::string all;
  for (const Violation& v : violations) all += v.path + ":" + std::to_string(v.line) + ": " + v.rule + "\n";
  return all;
}

const std::set<std::string> kPaths = {
    "core/base/result.h", "core/base/worker_pool.h", "core/base/clock.h", "core/spec/model_spec.h",
    "core/store/store.h", "core/tensor/ops.h",        "core/protocol/job.h", "aggregation/mean.h",
    "privacy/clipper.h",  "net/codec.h",              "net/reactor.h",       "coordinator/coordinator.h",
    "client/client.h",    "client/service/daemon.h",  "sim/world.h",         "coordinator/service/service.h",
    "README.md",
};

std::size_t doors(std::string path, std::string include) {
  return check_doors({std::move(path), "#include \"" + std::move(include) + "\"\n"}, kPaths).size();
}

std::size_t third(std::string path, std::string include) {
  return check_third_parties({std::move(path), "#include " + std::move(include) + "\n"}, {"net/transport.h"}).size();
}

TEST_CASE("lint rules: includes are found outside comments and strings only") {
  const std::string text =
      "// #include \"a.h\"\n"
      "/* #include \"b.h\"\n"
      "#include \"c.h\" */\n"
      "#include \"d.h\"  // why\n"
      "  #  include <e/f.hpp>\n"
      "const char* s = \"\\\"/*\";\n"
      "const char* r = R\"x(\n"
      "#include \"g.h\"\n"
      ")\" )x\";\n"
      "int n = 1'000'000; char q = '\"';\n"
      "auto t = \"//\"; #include \"i.h\"\n"  // no directive: something stands before it
      "/* */ #include \"j.h\"\n";
  const std::vector<Include> expected = {{"d.h", 4, true}, {"e/f.hpp", 5, false}, {"j.h", 12, true}};
  CHECK(includes_of(text) == expected);
}

TEST_CASE("lint rules: unclosed literals and comments end with the text") {
  CHECK(includes_of("#include \"a.h").empty());
  CHECK(without_comments("/* x", Literals::kKeep) == "    ");
  CHECK(without_comments("\"\\", Literals::kBlank).size() == 2);
  CHECK(without_comments("R\"(", Literals::kBlank).size() == 3);
  CHECK(without_comments("", Literals::kBlank).empty());
  CHECK(lines_of("a\n\nb").size() == 3);
}

TEST_CASE("lint rules: files belong to the room with the longest prefix") {
  CHECK(room_of("net/codec_test_vectors.h") == "net/codec");
  CHECK(room_of("net/reactor.cpp") == "net/transport");
  CHECK(room_of("coordinator/cli.cpp") == "main/cli");
  CHECK(room_of("coordinator/cli/token.cpp") == "main/cli");
  CHECK(room_of("coordinator/selector.cpp") == "coordinator");
  CHECK(room_of("core/tensor/cuda/gemm.cu") == "core/tensor/cuda");
  CHECK(room_of("README.md").empty());
}

TEST_CASE("lint rules: doors are transitive and one-way") {
  CHECK(doors("coordinator/coordinator.cpp", "core/base/result.h") == 0);
  CHECK(doors("core/nn/model.cpp", "core/spec/model_spec.h") == 0);
  CHECK(doors("client/client.cpp", "core/tensor/ops.h") == 0);
  CHECK(doors("sim/world.cpp", "net/codec.h") == 0);
  CHECK(doors("sim/main.cpp", "sim/world.h") == 0);
  CHECK(doors("tests/system/x_test.cpp", "sim/world.h") == 0);
  CHECK(doors("client/main.cpp", "client/service/daemon.h") == 0);

  CHECK(doors("core/base/result.cpp", "core/spec/model_spec.h") == 1);
  CHECK(doors("aggregation/mean.cpp", "privacy/clipper.h") == 1);
  CHECK(doors("privacy/clipper.cpp", "aggregation/mean.h") == 1);
  CHECK(doors("coordinator/coordinator.cpp", "core/store/store.h") == 1);
  CHECK(doors("coordinator/coordinator.cpp", "net/codec.h") == 1);
  CHECK(doors("coordinator/main.cpp", "client/client.h") == 1);
  CHECK(doors("coordinator/main.cpp", "sim/world.h") == 1);
  CHECK(doors("client/client.cpp", "client/service/daemon.h") == 1);
  CHECK(doors("sim/world.cpp", "net/reactor.h") == 1);
  CHECK(doors("sim/world.cpp", "coordinator/service/service.h") == 1);

  CHECK(doors("core/attic/x.cpp", "core/base/result.h") == 1);  // nobody drew that room
  CHECK(doors("core/base/x.cpp", "README.md") == 1);
}

TEST_CASE("lint rules: own includes are quoted, root-relative and exist") {
  CHECK(doors("core/base/x.cpp", "result.h") == 1);
  CHECK(doors("core/base/x.cpp", "core/base/gone.h") == 1);
  CHECK(check_doors({"core/base/x.cpp", "#include <core/base/result.h>\n"}, kPaths).size() == 1);
  const auto found = check_doors({"core/base/x.cpp", "\n\n#include \"net/codec.h\"\n"}, kPaths);
  CHECK(joined(found).starts_with("core/base/x.cpp:3: no door from core/base to net/codec"));
}

TEST_CASE("lint rules: third parties stay in their room's sources") {
  CHECK(third("net/transport.cpp", "<zmq.h>") == 0);
  CHECK(third("net/codec.cpp", "\"net/schema/covey.capnp.h\"") == 0);
  CHECK(third("core/data/reader.cpp", "<nlohmann/json.hpp>") == 0);
  CHECK(third("coordinator/cli/print.cpp", "<nlohmann/json.hpp>") == 0);
  CHECK(third("core/tensor/cuda/gemm.cu", "<cuda_runtime.h>") == 0);
  CHECK(third("tests/net/frame_test.cpp", "<zmq.h>") == 0);
  CHECK(third("bench/engine.cpp", "<benchmark/benchmark.h>") == 0);
  CHECK(third("core/base/result.h", "<vector>") == 0);
  CHECK(third("core/base/secure_random.cpp", "<sys/random.h>") == 0);

  CHECK(third("net/codec.cpp", "<zmq.hpp>") == 1);
  CHECK(third("net/transport.h", "<zmq.h>") == 1);  // public, as the second argument above says
  CHECK(third("net/zmq_socket.h", "<zmq.h>") == 0);
  CHECK(third("coordinator/codec.cpp", "\"net/schema/covey.capnp.h\"") == 1);
  CHECK(third("privacy/x.cpp", "<sodium.h>") == 1);
  CHECK(third("core/tensor/cpu/x.cpp", "<cublasLt.h>") == 1);
  CHECK(third("coordinator/x.cpp", "<rocksdb/db.h>") == 1);
  CHECK(third("core/nn/x.cpp", "<doctest/doctest.h>") == 1);
  CHECK(third("sim/x.cpp", "<boost/asio.hpp>") == 1);
}

TEST_CASE("lint rules: a header is public once another room reaches it") {
  const auto found = public_headers({{"client/main.cpp", "#include \"net/reactor.h\"\n"},
                                     {"net/reactor.h", "#include \"net/options.h\"\n"},
                                     {"net/reactor.cpp", "#include \"net/zmq_socket.h\"\n"},
                                     {"tests/net/x_test.cpp", "#include \"net/zmq_socket.h\"\n"}});
  CHECK(found == std::set<std::string>{"net/reactor.h", "net/options.h"});
}

TEST_CASE("lint rules: a state machine is pure") {
  const auto impure = [](std::string path, std::string text) {
    return check_state_machine({std::move(path), std::move(text)}).size();
  };
  CHECK(impure("coordinator/registry.cpp", "#include <vector>\n#include <cmath>\n") == 0);
  CHECK(impure("coordinator/main.cpp", "#include <thread>\n") == 0);
  CHECK(impure("client/service/x.cpp", "#include <fstream>\n") == 0);
  CHECK(impure("client/trainer.cpp", "#include <thread>\n") == 0);
  CHECK(impure("client/client.cpp", "// no steady_clock here\n") == 0);

  CHECK(impure("coordinator/registry.cpp", "#include <thread>\n") == 1);
  CHECK(impure("coordinator/registry.h", "#include <mutex>\n") == 1);
  CHECK(impure("client/peer.cpp", "#include <filesystem>\n#include <sys/socket.h>\n") == 2);
  CHECK(impure("client/peer.cpp", "#include \"core/base/worker_pool.h\"\n") == 1);
  CHECK(impure("client/peer.cpp", "auto t = std::chrono::steady_clock::now();\n") == 1);
  CHECK(impure("client/peer.cpp", "std::this_thread::sleep_for(1ms);\n") == 1);
}

TEST_CASE("lint rules: length, header, own header") {
  std::string text;
  for (int i = 0; i < 600; ++i) text += "int x;\n";
  CHECK(check_length({"core/base/x.cpp", text}).empty());
  CHECK(check_length({"core/base/x.cpp", text + "\n"}).size() == 1);
  CHECK(check_length({"docs/x.md", text + text}).empty());

  CHECK(check_header({"a/x.h", "// What.\n#pragma once\n"}).empty());
  CHECK(check_header({"a/x.h", "#pragma once\n"}).size() == 1);
  CHECK(check_header({"a/x.h", "// What.\n"}).size() == 1);
  CHECK(check_header({"a/x.h", ""}).size() == 2);

  const std::set<std::string> all = {"a/x.h", "a/x.cpp"};
  CHECK(check_own_header_first({"a/x.cpp", "// c\n#include \"a/x.h\"\n#include <map>\n"}, all).empty());
  CHECK(check_own_header_first({"a/x.cpp", "#include <map>\n#include \"a/x.h\"\n"}, all).size() == 1);
  CHECK(check_own_header_first({"a/x.cpp", ""}, all).size() == 1);
  CHECK(check_own_header_first({"a/y.cpp", "#include <map>\n"}, all).empty());
}

TEST_CASE("lint rules: words") {
  const auto words = [](std::string path, std::string line) {
    return check_words({std::move(path), std::move(line)}).size();
  };
  CHECK(words("core/base/x.cpp", "brand(1); operand (2); x.rand(3); // rand()\n") == 0);
  CHECK(words("core/base/x.cpp", "const char* s = \"std::uniform_int_distribution\";\n") == 0);
  CHECK(words("core/base/x.cpp", "distribution(std::vector<int>());\n") == 0);
  CHECK(words("core/base/x.cpp", "sleep(1);\n") == 0);
  CHECK(words("packaging/x.sh", "mktemp -t covey.XXXXXX\n") == 0);

  CHECK(words("core/base/x.cpp", "std::normal_distribution<double> d;\n") == 1);
  CHECK(words("core/base/x.cpp", "int i = rand();\n") == 1);
  CHECK(words("core/base/x.cpp", "int i = std::rand ();\n") == 1);
  CHECK(words("core/base/x.cpp", "std::shuffle(a, b, c);\n") == 1);
  CHECK(words("core/base/x.cpp", "// TO" "DO: later\n") == 1);
  CHECK(words("check", "# FIX" "ME\n") == 1);
  CHECK(words("tests/net/x_test.cpp", "std::this_thread::sleep_for(1s);\n") == 1);
  CHECK(words("tests/net/x_test.cpp", "::sleep(1);\n") == 1);
}

TEST_CASE("lint rules: paths of one machine") {
  const auto absolute = [](std::string line) { return check_absolute_paths({"docs/x.md", std::move(line)}).size(); };
  CHECK(absolute("see docs/ho" "me/x and ${dir}/wo" "rk/y, /ho" "mepage, /usr/share, https://x.org/wo" "rk") == 0);
  CHECK(absolute("/wo" "rk/main") == 1);
  CHECK(absolute("`/ho" "me/me/data`") == 1);
  CHECK(absolute("dir=/tm" "p") == 1);
  CHECK(absolute("dir=${TMPDIR:-/tm" "p}") == 0);
  CHECK(check_absolute_paths({"core/x.cpp", "root + \"/tm" "p\" + \"/ro" "ot\"\n"}).size() == 1);
  CHECK(absolute("file:///ro" "ot/x") == 1);
}

TEST_CASE("lint rules: top level, folders and forgotten sources") {
  CHECK(check_top_level({"core/base/x.h", "README.md"}).empty());
  CHECK(joined(check_top_level({"stuff/x.h", "core/x.h"})).starts_with("stuff:1: "));

  CHECK(check_folders({"CMakeLists.txt", "tests/a/CMakeLists.txt"}, {"", "tests/a"}).empty());
  CHECK(check_folders({"CMakeLists.txt", "tests/b/CMakeLists.txt"}, {"", "tests/a"}).size() == 1);

  CHECK(check_built({{"a/CMakeLists.txt", "covey_library(a SOURCES x.cpp b/y.cpp)"},
                     {"a/x.cpp", ""},
                     {"a/b/y.cpp", ""}})
            .empty());
  const auto forgotten = check_built({{"a/CMakeLists.txt", "covey_library(a SOURCES xx.cpp)"}, {"a/x.cpp", ""}});
  CHECK(joined(forgotten).starts_with("a/x.cpp:1: "));
}

TEST_CASE("lint: logged events are found, also where one of two is chosen") {
  const auto names = [](std::string_view text) {
    std::vector<std::string> all;
    for (const LoggedEvent& event : logged_events(text)) all.push_back(event.name);
    return all;
  };
  using Names = std::vector<std::string>;
  CHECK(names("out_.log(LogLevel::kInfo, \"one\", {{\"field\", \"text\"}});") == Names{"one"});
  CHECK(names("limited_.warning(bad ? \"one\" : \"two\",\n {{\"reason\", why}});") == Names{"one", "two"});
  CHECK(names("parts.log->info(\"one\", {});  // log.info(\"two\")") == Names{"one"});
  CHECK(names("log.error(name, {{\"reason\", why}});") == Names{""});
  CHECK(names("log.error().message; out.warning(\"text\");") == Names{});
  CHECK(documented_events("| event | level |\n|---|---|\n| `one`, `two` | info (`no`) |\ntext `three`\n") == Names{"one", "two"});
}

}  // namespace
}  // namespace covey::lint
