// What people and machines get wrong: a clear error on the side that can act, and the others go on.
#include <doctest/doctest.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "coordinator/service/home.h"
#include "core/base/clock.h"
#include "core/base/random.h"
#include "core/service/identity.h"
#include "tests/system/federation.h"

using namespace covey;
using namespace covey::system_test;
namespace fs = std::filesystem;

namespace {

void check_fails(const Process& process, int code, std::initializer_list<const char*> words) {
  INFO(process.name() << " ended with " << process.code() << ": " << process.errors());
  CHECK(process.ended());
  CHECK(process.code() == code);
  for (const char* word : words) {
    INFO("it should say: " << word);
    CHECK(process.says(word));
  }
}

Process& run_job(Federation& federation, const std::string& toml) {
  const std::string path = federation.folder() + "/bad.toml";
  write_text(path, toml);
  return federation.covey({"run", path});
}

Process& try_token(Federation& federation, const std::string& token, const std::string& name) {
  return federation.nursery().run({"covey-client",
                                   {"--home", federation.folder() + "/" + name, "--data", federation.data_of(0), "--threads", "1",
                                    "--token", token, "--name", name}},
                                  30);
}

void copy_folder(const std::string& from, const std::string& to) { fs::copy(from, to, fs::copy_options::recursive); }

// Another token that `home`'s authority signed, without telling the coordinator.
JoinToken forged(const std::string& home, Instant expires) {
  SystemRandom random;
  const auto authority = load_authority(home);
  const auto membership = load_membership(operator_folder(home));
  REQUIRE(authority.has_value());
  REQUIRE(membership->has_value());
  JoinToken token{(*membership)->coordinator, {}, SigningKey::generate(random), CurveKey::generate(random)};
  random.fill(token.delegation.token.bytes);
  token.delegation.expires = expires;
  token.delegation.members_until = SystemClock().now() + kMembershipDefault;
  token.delegation.one_time_curve = token.one_time_curve.public_key();
  token.delegation.one_time_signing = token.one_time_signing.public_key();
  sign(token.delegation, *authority);
  return token;
}

// Holds a port as another program would.
class TakenPort {
 public:
  TakenPort() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    REQUIRE(::bind(socket_, generic, length) == 0);
    REQUIRE(::listen(socket_, 1) == 0);
    REQUIRE(::getsockname(socket_, generic, &length) == 0);
    port_ = std::to_string(ntohs(address.sin_port));
  }
  ~TakenPort() { ::close(socket_); }
  TakenPort(const TakenPort&) = delete;
  TakenPort& operator=(const TakenPort&) = delete;
  const std::string& port() const { return port_; }

 private:
  int socket_;
  std::string port_;
};

// Speaks no protocol at all.
void send_rubbish(std::uint16_t port) {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(::connect(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  Random random(port);
  std::string rubbish(100'000, '\0');
  for (char& c : rubbish) c = static_cast<char>(random.below(256));
  for (std::size_t sent = 0; sent < rubbish.size();) {
    const ssize_t n = ::send(socket, rubbish.data() + sent, rubbish.size() - sent, MSG_NOSIGNAL);
    if (n <= 0) break;  // thrown out, as it should be
    sent += static_cast<std::size_t>(n);
  }
  ::close(socket);
}

}  // namespace

TEST_CASE("bad input: a job file is refused by the name of what is wrong with it") {
  Federation federation(1);
  const std::string good = job_toml({});
  JobText wrong, noisy;
  wrong.more = "[privacy]\nsecure_aggregation = true\ncorrupt_fraction = 0.5\n";
  noisy.more = "[privacy]\nepsilon = 3.0\n";
  check_fails(run_job(federation, "name = \"x\"\nrounds = = 3\n"), 2, {"bad.toml", "line 2"});
  check_fails(run_job(federation, "rouns = 3\n" + good), 2, {"rouns", "rounds"});
  check_fails(run_job(federation, job_toml(wrong)), 2, {"privacy.corrupt_fraction", "0.5"});
  check_fails(run_job(federation, job_toml(noisy)), 4, {"privacy.epsilon"});
  check_fails(run_job(federation, job_toml({.round = "quorum = 1.5\n"})), 2, {"round.quorum", "1.5"});
  check_fails(run_job(federation, job_toml({.train = "learning_rate = -1\nlocal_epochs = 1\n"})), 2, {"train.learning_rate", "-1"});
  check_fails(run_job(federation, ""), 2, {"model"});
  check_fails(federation.covey({"run", federation.folder() + "/none.toml"}), 2, {"none.toml"});
}

TEST_CASE("bad input: what a program cannot start from") {
  Federation federation(1);
  Nursery& nursery = federation.nursery();
  const std::string empty = federation.folder() + "/empty";
  check_fails(nursery.run({"covey-coordinator", {"--home", empty}}), 2, {"covey init"});
  check_fails(nursery.run({"covey", {"list", "--home", empty}}), 2, {"covey init"});
  check_fails(federation.covey({"init"}), 2, {"never overwritten"});
  check_fails(nursery.run({"covey-client", {"--home", empty, "--data", empty}}), 2, {"--token", "covey token"});
  check_fails(nursery.run({"covey-client", {"--home", empty}}), 2, {"--data"});
  check_fails(try_token(federation, "covey1-rubbish", "newcomer"), 2, {"token"});
  check_fails(try_token(federation, "@" + empty + ".token", "newcomer"), 2, {"empty.token"});
  const std::string bare = federation.folder() + "/bare.token";
  write_text(bare, "covey1-rubbish");
  check_fails(try_token(federation, bare, "newcomer"), 2, {"write @", "bare.token"});
  check_fails(nursery.run({"covey-client", {"--home", empty, "--data", empty + "/none", "--name", "n", "--token", "covey1-x"}}), 2,
              {"--data", "does not exist"});
  check_fails(federation.covey({"token", "--role", "king"}), 2, {"--role", "king"});
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{{"stop", ""}, {"rotate-key", "--save", ""}, {"backup", "--verify", ""}})
    check_fails(federation.covey(words), 2, {"is empty: give a value, or leave it out"});
  // Before anything is asked of the coordinator, which does not run.
  write_text(empty + ".token", "");
  check_fails(federation.covey({"token", "-o", empty + ".token"}), 2, {"is there already"});
  check_fails(federation.covey({"report", "-o", federation.folder() + "/none/report.html"}), 2, {"does not exist"});
  const std::string job = federation.write_job({});
  check_fails(nursery.run({"covey-sim", {"run", job, "--data", federation.data_of(0), "-o", federation.folder() + "/none/model"}}), 2,
              {"/none does not exist"});
  check_fails(nursery.run({"covey-sim", {"run", job, "--data", empty + "/points"}}), 2, {"does not exist", "--data PATH"});
  JobText uneven;
  uneven.name = "uneven";
  uneven.min_clients = 3;
  uneven.more = "[simulation]\nclients = 5\npartition = \"file\"\n";  // and the data are one file
  check_fails(nursery.run({"covey-sim", {"run", federation.write_job(uneven), "--data", federation.data_of(0)}}), 2,
              {"4 of 5 clients are dealt no example", "selection.min_clients = 3", "simulation.clients"});
  check_fails(federation.covey({"renew", "--offline", "--for", "30d"}), 2, {"is a member until", "Nothing was written"});
  CHECK_FALSE(fs::exists(federation.home() + "/coordinator/operators/operator.renewal"));

  const TakenPort taken;
  Launch launch = federation.coordinator_launch();
  launch.arguments.insert(launch.arguments.end(), {"--control-port", taken.port()});
  check_fails(nursery.run(launch), 3, {taken.port().c_str(), "in use"});
  federation.start_coordinator();
  check_fails(nursery.run(federation.coordinator_launch()), 3, {"another process"});
  CHECK(federation.covey({"list"}).code() == 0);  // the first goes on
  check_fails(federation.covey({"watch", "notes"}), 2, {"no job is called \"notes\""});
  check_fails(federation.covey({"stop", "99999999999999999999"}), 2, {"is no job's number"});
  check_fails(federation.covey({"audit", "--job", "notes"}), 2, {"is no job's number"});
  check_fails(federation.covey({"audit", "--job", "99"}), 2, {"tells of no job 99", "covey list"});
}

TEST_CASE("bad input: what is no regular file is refused by name, and no program waits for a pipe") {
  Federation federation(1);
  const std::string pipe = federation.folder() + "/pipe", coordinator = federation.home() + "/coordinator";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  check_fails(federation.covey({"run", pipe}), 2, {"/pipe: is a pipe"});
  check_fails(federation.covey({"run", federation.folder()}), 2, {"is a folder"});
  Nursery& nursery = federation.nursery();
  for (const std::string& settings : {pipe, std::string("/dev/zero")}) {
    check_fails(nursery.run({"covey-client", {"--home", federation.home_of(0), "--data", federation.data_of(0), "--config", settings}}), 2,
                {settings.c_str(), "is a pipe, a socket or a device"});
    check_fails(nursery.run({"covey-coordinator", {"--home", federation.home(), "--config", settings}}), 2, {settings.c_str()});
  }
  const std::string mistyped = federation.folder() + "/mistyped.toml";
  write_text(mistyped, "plain-update = true\n");
  check_fails(nursery.run({"covey-client", {"--home", federation.home_of(0), "--data", federation.data_of(0), "--config", mistyped}}), 2,
              {"mistyped.toml: there is no setting \"plain-update\"; did you mean plain-updates?"});
  check_fails(nursery.run({"covey-coordinator", {"--home", federation.home(), "--listen", "192.0.2.7"}}), 3,
              {"cannot listen on 192.0.2.7: ", "this machine has no such address: --listen takes one of its own"});
  for (const char* name : {"coordinator.toml", "address.bin", "curve.key", "ledger.mark", "operators/operator.cert"}) {
    CAPTURE(name);
    const std::string path = coordinator + "/" + name, kept = federation.folder() + "/kept";
    const bool there = fs::exists(path);
    if (there) fs::rename(path, kept);
    REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
    check_fails(nursery.run(federation.coordinator_launch()), 2, {name, "is a pipe"});
    fs::remove(path);
    if (there) fs::rename(kept, path);
  }
  write_text(pipe + ".bin", "");
  fs::rename(coordinator + "/address.bin", federation.folder() + "/kept");
  fs::rename(pipe + ".bin", coordinator + "/address.bin");
  check_fails(nursery.run(federation.coordinator_launch()), 2, {"address.bin is empty"});
}

TEST_CASE("bad input: a damaged certificate of an operator is refused at a start, and nobody is locked out") {
  Federation federation(1);
  Process& first = federation.start_coordinator();
  CHECK(federation.covey({"list"}).code() == 0);
  first.signal(SIGTERM);
  federation.nursery().finish(first);
  const std::string path = federation.home() + "/coordinator/operators/operator.cert";
  std::string damaged = read_text(path);
  damaged[20] = static_cast<char>(damaged[20] ^ 1);
  write_text(path, damaged);
  check_fails(federation.nursery().run(federation.coordinator_launch()), 2, {"operator.cert", "put it back from a copy", "move it away"});
  fs::remove(path);
  const std::string address = federation.home() + "/coordinator/address.bin";
  fs::rename(address, address + ".kept");
  check_fails(federation.nursery().run(federation.coordinator_launch()), 2, {"holds no address.bin", "put it back from a copy"});
  fs::rename(address + ".kept", address);
  federation.start_coordinator();
  CHECK(federation.covey({"list"}).code() == 0);  // whom the store knows
}

TEST_CASE("bad input: flags are quoted as they were given") {
  Nursery nursery;
  check_fails(nursery.run({"covey", {"generate", "--model", "x", "--seed", "-1"}}), 2, {"--seed", "'-1' is below 0"});
  check_fails(nursery.run({"covey", {"evaluate", "--model", "x", "--data", "x", "--damaged-max", "-1"}}), 2, {"--damaged-max", "'-1' is below 0"});
  check_fails(nursery.run({"covey", {"export", "--model", "x", "-o", "x", "--file-size-max", "-1"}}), 2, {"--file-size-max = \"-1\": must be a whole number"});
  check_fails(nursery.run({"covey-coordinator", {"--job-updates-max", "-1"}}), 2, {"--job-updates-max = \"-1\": must be a whole number"});
}

TEST_CASE("bad input: tokens and keys that open nothing") {
  Federation federation(2);
  federation.start_coordinator();
  federation.enrol_client(0);
  REQUIRE(federation.until([&] { return federation.client(0).has("client_joined"); }));
  const std::string spent = read_text(federation.folder() + "/site0.token");
  check_fails(try_token(federation, spent, "second"), 5, {"refused", "spent"});

  // A site that is a member already does not become another with another token, and is told what to do.
  federation.enrol_client(1);
  REQUIRE(federation.until([&] { return federation.client(1).has("client_joined"); }));
  federation.nursery().kill(federation.client(1));
  const std::string anew = federation.folder() + "/anew.token";
  REQUIRE(federation.covey({"token", "-o", anew}).code() == 0);
  check_fails(federation.nursery().run({"covey-client", {"--home", federation.home_of(1), "--data", federation.data_of(1), "--token", "@" + anew}}),
              2, {"is the identity of site1 already", "--home NEW"});

  std::string changed = spent;
  changed[changed.size() / 2] = changed[changed.size() / 2] == 'A' ? 'B' : 'A';
  check_fails(try_token(federation, changed, "third"), 2, {"token"});

  const JoinToken expired = forged(federation.home(), SystemClock().now() - std::chrono::hours(1));
  check_fails(try_token(federation, to_text(expired), "fourth"), 5, {"expired"});
  Desk desk(federation.home());
  const auto registered = desk.ask(RegisterToken{expired.delegation});
  REQUIRE_FALSE(registered.has_value());
  CHECK(registered.error().code == ErrorCode::kPermissionDenied);
  CHECK(registered.error().message.find("expired") != std::string::npos);

  const JoinToken unknown = forged(federation.home(), SystemClock().now() + std::chrono::hours(1));
  check_fails(try_token(federation, to_text(unknown), "fifth"), 5, {"not known to the coordinator"});

  Federation other(1);
  JoinToken strange = forged(other.home(), SystemClock().now() + std::chrono::hours(1));
  strange.coordinator.control_port = expired.coordinator.control_port;
  strange.coordinator.bulk_port = expired.coordinator.bulk_port;
  check_fails(try_token(federation, to_text(strange), "sixth"), 5, {"differs from the pinned one"});

  // A member of another federation knocks with its own key.
  other.start_all();
  auto membership = load_membership(other.home_of(0));
  REQUIRE(membership->has_value());
  other.nursery().kill(other.client(0));
  (*membership)->coordinator = expired.coordinator;
  REQUIRE(save_membership(other.home_of(0), **membership).has_value());
  Process& stranger = other.nursery().start(other.client_launch(0));
  CHECK(other.until([&] { return stranger.says("this key is not known to the coordinator"); }));
  CHECK_FALSE(stranger.has("client_joined"));
  CHECK_FALSE(federation.client(0).ended());
}

TEST_CASE("bad input: clients whose data do not serve decline, and the run goes on without them") {
  Federation federation(5);
  write_text(federation.data_of(3) + "/points.csv", "x,y,above\n");
  write_text(federation.data_of(4) + "/points.csv", read_text(federation.data_of(4) + "/points.csv") + "0.5,nan,yes\n");
  federation.start_all();
  fs::remove_all(federation.data_of(2));  // a job loads it, and finds it gone
  const JobId job = federation.submit({.rounds = 3, .min_clients = 2, .round = "deadline_s = 60\nquorum = 0.4\n"});
  CHECK(federation.await_end(job) == "job_finished");
  const std::pair<std::size_t, std::vector<const char*>> expected[] = {
      {2, {"data2", "does not exist"}},
      {3, {"data3", "holds no rows"}},
      {4, {"points.csv", "line 82", "nan", "not a finite number"}},
  };
  for (const auto& [client, words] : expected) {
    const LogLine* line = federation.client(client).last("data_refused");
    INFO(federation.client(client).errors());
    REQUIRE(line != nullptr);
    for (const char* word : words) CHECK(line->text("text").find(word) != std::string::npos);
    CHECK_FALSE(federation.client(client).ended());
  }
  CHECK(federation.coordinator().count("round_declined") == 3);  // asked once each
  const LogLine* declined = federation.coordinator().last("round_declined");
  REQUIRE(declined != nullptr);
  CHECK(declined->text("reason") == "data");
  CHECK(declined->text("text").find("points.csv") == std::string::npos);  // what is wrong stays at the site
}

TEST_CASE("bad input: a second process with a client's identity is told, and the first goes on") {
  Federation federation(2);
  federation.start_all();
  check_fails(federation.nursery().run(federation.client_launch(0)), 3, {"another process"});  // the same folder

  federation.client(1).signal(SIGTERM);
  federation.nursery().finish(federation.client(1));
  copy_folder(federation.home_of(1), federation.folder() + "/copy");
  federation.start_client(1);
  Launch launch = federation.client_launch(1);
  launch.arguments[1] = federation.folder() + "/copy";
  Process& second = federation.nursery().start(launch);
  REQUIRE(federation.until([&] { return second.has("join_refused"); }));
  CHECK(second.last("join_refused")->text("text").find("another process uses this identity, \"site1\"") != std::string::npos);
  CHECK_FALSE(second.has("client_joined"));
  const JobId job = federation.submit({.rounds = 3, .min_clients = 2});
  const std::string end = federation.await_end(job);
  INFO(federation.coordinator().errors() << federation.client(1).errors());
  CHECK(end == "job_finished");
  CHECK(federation.client(1).has("training_done"));
  CHECK_FALSE(second.has("round_offered"));
}

TEST_CASE("bad input: rubbish on both ports harms nobody") {
  Federation federation(2);
  federation.start_all();
  const JobId job = federation.submit({.rounds = 8, .min_clients = 2});
  for (const std::uint16_t port : federation.ports()) send_rubbish(port);
  CHECK(federation.await_end(job) == "job_finished");
  CHECK_FALSE(federation.coordinator().ended());
}
