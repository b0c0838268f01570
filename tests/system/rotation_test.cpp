// The coordinator's CURVE key changed under real nodes: while a job trains, across kill -9 of either side,
// for who was away, and with tokens of before.
#include <doctest/doctest.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "coordinator/service/home.h"
#include "core/base/clock.h"
#include "core/service/identity.h"
#include "core/store/blobs.h"
#include "tests/system/federation.h"
#include "tests/system/figure_line.h"

using namespace covey;
using namespace covey::system_test;

namespace {

namespace fs = std::filesystem;

CoordinatorAddress address_of(const std::string& home) {
  return load_membership(operator_folder(home)).value()->coordinator;
}

// With an overlap shorter than `covey rotate-key` offers.
KeyChange rotate(Federation& federation, Duration overlap) {
  const CoordinatorAddress address = address_of(federation.home());
  const std::vector<std::uint16_t> ports = free_ports(2);
  Desk desk(federation.home());
  const auto answer = desk.ask(PrepareKey{ports[0], ports[1]});
  REQUIRE_MESSAGE(answer, answer.error().message);
  const KeyPrepared prepared = std::get<KeyPrepared>(*answer);
  CHECK(prepared.before == address.curve);
  const Instant now = SystemClock().now();
  KeyChange change{address.record, {address.curve, address.control_port, address.bulk_port}, {prepared.after, ports[0], ports[1]},
                   prepared.serial + 1, now, now + overlap, {}};
  sign(change, load_authority(federation.home()).value());
  const auto done = desk.ask(RegisterKeyChange{change});
  REQUIRE_MESSAGE(done, done.error().message);
  return change;
}

// Whether an operator's request gets through where `place` is served.
bool answers(const Federation& federation, const KeyPlace& place) {
  MemoryBlobs blobs;
  const NodeKeys keys = load_keys(operator_folder(federation.home())).value();
  const auto caller = make_caller({moved_to(address_of(federation.home()), place)}, keys.curve, blobs);
  return caller.value()->call(OperatorRequest{1, ListNodes{0}}, 2s).has_value();
}

std::uint64_t sum(const Process& process, const char* event, const char* field) {
  std::uint64_t all = 0;
  for (const LogLine& line : process.lines())
    if (line.event == event) all += line.number(field);
  return all;
}

bool moved(Federation& federation, std::size_t clients) {
  return federation.until([&] {
    for (std::size_t i = 0; i < clients; ++i)
      if (!federation.client(i).has("link_moved")) return false;
    return true;
  });
}

const JobText kLongJob{.rounds = 100'000, .train = "local_steps = 20\nbatch_size = 8\nlearning_rate = 0.5\n"};

}  // namespace

TEST_CASE("key rotation: live, under a job with three clients, no round fails and nothing is lost") {
  constexpr std::size_t kClients = 3;
  Federation federation(kClients);
  federation.start_all();
  Process& coordinator = federation.coordinator();
  const JobId job = federation.submit(kLongJob);
  REQUIRE(federation.until([&] { return coordinator.count("round_committed") >= 5; }));

  const KeyChange change = rotate(federation, 12s);
  REQUIRE(moved(federation, kClients));
  const std::size_t at_move = coordinator.count("round_committed");
  REQUIRE(federation.until([&] { return coordinator.count("round_committed") >= at_move + 5; }));
  CHECK(answers(federation, change.before));
  CHECK(answers(federation, change.after));
  CHECK(federation.covey({"nodes"}).code() == 0);  // and so its home hears of the change that another made
  REQUIRE(federation.until([&] { return coordinator.has("key_dropped"); }, 30));
  const std::size_t at_end = coordinator.count("round_committed");
  REQUIRE(federation.until([&] { return coordinator.count("round_committed") >= at_end + 5; }));

  const KeyPlace old_key_at_new_ports{change.before.key, change.after.control_port, change.after.bulk_port};
  const int let_in = (answers(federation, change.before) ? 1 : 0) + (answers(federation, old_key_at_new_ports) ? 1 : 0);
  const std::size_t failed = coordinator.count("attempt_abandoned") + coordinator.count("job_failed") + coordinator.count("client_failed");
  const std::uint64_t asked = sum(coordinator, "round_committed", "cohort");
  const std::uint64_t delivered = sum(coordinator, "round_committed", "delivered");
  const double lost = static_cast<double>(asked - delivered) + static_cast<double>(coordinator.count("update_refused"));
  figure("rotation_failed_rounds", static_cast<double>(failed));
  figure("rotation_lost_updates", lost);
  figure("rotation_old_key_let_in", let_in);
  figure("rotation_rounds", static_cast<double>(coordinator.count("round_committed")));
  figure("rotation_rounds_after", static_cast<double>(coordinator.count("round_committed") - at_move));
  CHECK(failed == 0);
  CHECK(lost == 0);
  CHECK(let_in == 0);
  CHECK(coordinator.count("node_joined") == kClients);  // they only changed their links
  CHECK_FALSE(coordinator.has("node_lost"));
  const Process& stopped = federation.covey({"stop", std::to_string(job)});
  INFO(stopped.errors());
  CHECK(stopped.code() == 0);
  const Process& audit = federation.covey({"audit"});
  CHECK(audit.code() == 0);
  CHECK(audit.says("key changed"));
  CHECK(audit.says("key retired"));
  for (const char* gone : {"/curve.next.key", "/curve.old.key"})
    CHECK_FALSE(fs::exists(coordinator_folder(federation.home()) + gone));
}

TEST_CASE("key rotation: the command, its refusals, tokens of before and after, and the operator's own home") {
  Federation federation(2);
  federation.start_coordinator();
  federation.enrol_client(0);
  REQUIRE(federation.until([&] { return federation.client(0).has("client_joined"); }));
  const std::string before = federation.folder() + "/before.token";
  REQUIRE(federation.covey({"token", "-o", before}).code() == 0);
  const auto refused = [&](std::vector<std::string> more, int code, const char* words) {
    more.insert(more.begin(), "rotate-key");
    const Process& process = federation.covey(std::move(more));
    INFO(process.errors());
    CHECK(process.code() == code);
    CHECK(process.says(words));
  };
  const std::string saved = federation.folder() + "/key.change";
  refused({"--save", saved}, 2, "never changed");
  refused({"--overlap", "30s"}, 2, "--overlap");
  refused({"--overlap", "91d"}, 2, "--overlap");
  refused({"--start-in", "20d"}, 2, "--start-in");
  refused({"--control-port", std::to_string(federation.ports()[0])}, 2, "in use by the present key");
  const std::vector<std::uint16_t> ports = free_ports(2);
  const std::vector<std::string> flags{"--control-port", std::to_string(ports[0]), "--bulk-port", std::to_string(ports[1])};
  {
    const int taken = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);  // a port that somebody has
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(ports[1]);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::bind(taken, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(taken, 1) == 0);
    refused(flags, 3, "cannot listen on");
    ::close(taken);
  }
  CHECK_FALSE(federation.coordinator().has("key_changed"));

  std::vector<std::string> order{"rotate-key", "--overlap", "1h", "--json"};
  order.insert(order.end(), flags.begin(), flags.end());
  const Process& done = federation.covey(order);
  INFO(done.errors());
  REQUIRE(done.code() == 0);
  CHECK(nlohmann::json::parse(done.out()).at("event") == "key_changed");
  struct stat status{};
  REQUIRE(::stat((coordinator_folder(federation.home()) + "/curve.next.key").c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
  REQUIRE(moved(federation, 1));
  refused({}, 3, "is served until");
  refused({"--save", saved}, 0, "Wrote");
  refused({"--save", saved}, 2, "is there already");
  CHECK(federation.covey({"doctor"}).says("the same in its folder and the operator's"));

  Launch old_token = federation.client_launch(1);
  old_token.arguments.insert(old_token.arguments.end(), {"--token", "@" + before, "--name", "site1"});
  Process& early = federation.start_client(1, old_token);
  CHECK(federation.until([&] { return early.has("link_moved"); }));
  federation.nursery().kill(early);
  Process& again = federation.start_client(1);
  CHECK(again.says(std::to_string(ports[0])));  // from the start at the new key
  CHECK_FALSE(again.has("link_moved"));
  federation.nursery().kill(again);
  fs::remove_all(federation.home_of(1));
  REQUIRE(federation.covey({"revoke", "site1"}).code() == 0);
  federation.enrol_client(1);  // a token made now
  Process& late = federation.client(1);
  CHECK(federation.until([&] { return late.has("client_joined"); }));
  CHECK(late.says(std::to_string(ports[0])));
}

TEST_CASE("key rotation: who was away too long is told the remedy, and comes back with the file") {
  Federation federation(2);
  federation.start_coordinator();
  federation.enrol_client(0);
  REQUIRE(federation.until([&] { return federation.client(0).has("client_joined"); }));
  federation.nursery().kill(federation.client(0));
  const std::string token = federation.folder() + "/before.token";
  REQUIRE(federation.covey({"token", "-o", token}).code() == 0);
  const KeyChange change = rotate(federation, 3s);
  REQUIRE(federation.until([&] { return federation.coordinator().has("key_dropped"); }, 30));
  Process& lost = federation.nursery().start(federation.client_launch(0));
  CHECK(federation.until([&] { return lost.says("--key-change FILE"); }));
  CHECK_FALSE(lost.has("client_joined"));
  federation.nursery().kill(lost);

  // The operator has not asked anything since, so its home does not know either: the same file helps it.
  const std::string file = federation.folder() + "/key.change";
  const auto encoded = encode(change);
  write_text(file, std::string(encoded.begin(), encoded.end()));
  Launch forged = federation.client_launch(0);
  forged.arguments.insert(forged.arguments.end(), {"--key-change", federation.folder() + "/forged.change"});
  auto bad = encoded;
  bad[40] ^= 1;
  write_text(federation.folder() + "/forged.change", std::string(bad.begin(), bad.end()));
  const Process& refused = federation.nursery().run(forged);
  CHECK(refused.code() == 5);
  CHECK(refused.says("not made by the authority"));
  Launch launch = federation.client_launch(0);
  launch.arguments.insert(launch.arguments.end(), {"--key-change", file});
  federation.nursery().kill(federation.start_client(0, launch));
  federation.start_client(0);  // and remembers it
  Launch late = federation.client_launch(1);  // a token that was made before the change
  late.arguments.insert(late.arguments.end(), {"--token", "@" + token, "--name", "site1", "--key-change", file});
  federation.start_client(1, late);
}

TEST_CASE("key rotation: a backup of before the change is restored, and the change holds all the same") {
  Federation federation(1);
  federation.start_all();
  const std::string backup = federation.folder() + "/backup";
  REQUIRE(federation.covey({"backup", backup}).code() == 0);
  const KeyChange change = rotate(federation, 3s);
  REQUIRE(moved(federation, 1));
  REQUIRE(federation.covey({"nodes"}).code() == 0);
  REQUIRE(federation.until([&] { return federation.coordinator().has("key_dropped"); }, 30));
  federation.nursery().kill(federation.coordinator());
  fs::rename(coordinator_folder(federation.home()) + "/data", federation.folder() + "/lost");
  const Process& restored = federation.covey({"restore", backup, "--accept-rollback"});
  INFO(restored.errors());
  REQUIRE(restored.code() == 0);
  Process& coordinator = federation.start_coordinator();
  CHECK(coordinator.has("key_changed"));  // found beside the store, and recorded anew
  CHECK(federation.until([&] { return coordinator.has("node_joined"); }, 40));
  // How long both keys were served went with the store: the overlap is counted anew.
  CHECK(federation.until([&] { return !answers(federation, change.before); }, 30));
  const auto retired = [&] {
    const Process& audit = federation.covey({"audit"});
    return audit.code() == 0 && audit.says("key retired");
  };
  CHECK(federation.until(retired, 60));
}

TEST_CASE("key rotation: kill -9 of either side at any moment leaves a working system") {
  Federation federation(2);
  federation.start_all();
  const auto restart = [&] {
    federation.nursery().kill(federation.coordinator());
    federation.start_coordinator();
  };
  const auto all_joined = [&] {
    return federation.until([&] { return federation.coordinator().count("node_joined") >= 2; }, 40);
  };
  {  // prepared, and nobody signed
    Desk desk(federation.home());
    const auto ports = free_ports(2);
    REQUIRE(desk.ask(PrepareKey{ports[0], ports[1]}));
  }
  restart();
  CHECK(all_joined());
  federation.nursery().kill(federation.client(1));  // it learns of the change when it comes back
  const KeyChange first = rotate(federation, 12s);
  restart();  // at once: whoever was told follows, whoever was not is told with its join
  federation.start_client(1);
  CHECK(all_joined());
  REQUIRE(federation.until([&] { return federation.client(1).has("link_moved"); }));
  federation.nursery().kill(federation.client(0));
  federation.start_client(0);
  CHECK(answers(federation, first.before));
  CHECK(answers(federation, first.after));
  REQUIRE(federation.until([&] { return federation.coordinator().has("key_retired"); }, 30));
  restart();  // about the erasure
  CHECK(all_joined());
  CHECK_FALSE(fs::exists(coordinator_folder(federation.home()) + "/curve.old.key"));
  CHECK_FALSE(answers(federation, first.before));
  const Process& saved = federation.covey({"rotate-key", "--save", federation.folder() + "/unknown"});
  CHECK(saved.code() == 2);  // the operator's home missed the whole overlap
  std::string kept;
  for (const auto& entry : fs::directory_iterator(coordinator_folder(federation.home()) + "/key-changes")) kept = entry.path();
  const Process& followed = federation.covey({"rotate-key", "--follow", kept});
  INFO(followed.errors());
  REQUIRE(followed.code() == 0);
  const Process& nodes = federation.covey({"nodes"});
  INFO(nodes.errors());
  CHECK(nodes.code() == 0);
  CHECK(federation.covey({"audit"}).code() == 0);
}
