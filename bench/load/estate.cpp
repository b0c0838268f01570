#include "bench/load/estate.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>
#include <stdexcept>

#include "bench/load/raw_socket.h"
#include "coordinator/service/home.h"
#include "coordinator/tables.h"
#include "core/base/clock.h"
#include "core/crypto/digest.h"
#include "core/protocol/job_spec.h"
#include "core/protocol/records.h"
#include "core/service/identity.h"
#include "core/service/text_file.h"
#include "core/store/blobs.h"
#include "core/store/store.h"

namespace covey::load {
namespace {

const Instant kEnrolled = instant_of_nanos(1'700'000'000'000'000'000);

template <class T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  return *std::move(result);
}
void must(const Result<void>& result) {
  if (!result) throw std::runtime_error(result.error().message);
}

Secret<32> secret_of(std::string_view label, std::size_t number) {
  const Digest digest = sha256(bytes_of(std::string(label) + std::to_string(number)));
  return Secret<32>(digest.bytes);
}

}  // namespace

CurveKey key_of_node(std::size_t number) { return CurveKey::from_secret(secret_of("load curve ", number)); }
std::string name_of_node(std::size_t number) { return "node-" + std::to_string(number); }
Capability capability_of_nodes() { return {"cpu", 4, std::uint64_t{1} << 30, 10}; }


Estate::Estate(std::size_t nodes) {
  address_ = must(init_home({home(), "127.0.0.1", listening_port(), listening_port(), "operator"}));
  enrol(nodes);
}

// Straight into the store, as the service would have left it: enrolled and joined once.
void Estate::enrol(std::size_t nodes) {
  const std::string data = coordinator_folder(home()) + "/data";
  must(make_folders(data, 0700));
  const SigningKey authority = must(load_authority(home()));
  const auto store = must(open_rocks_store(data + "/db"));
  Batch batch;
  for (std::size_t i = 0; i < nodes; ++i) {
    const SigningKey one_time = SigningKey::from_seed(secret_of("load token ", i));
    Certificate certificate;
    certificate.name = name_of_node(i);
    certificate.signing = SigningKey::from_seed(secret_of("load signing ", i)).public_key();
    certificate.curve = key_of_node(i).public_key();
    Delegation& delegation = certificate.delegation;
    for (std::size_t b = 0; b < 8; ++b) delegation.token.bytes[b] = static_cast<std::uint8_t>(i >> (8 * b));
    delegation.token.bytes[8] = 1;
    delegation.expires = kEnrolled + std::chrono::hours(1);
    delegation.members_until = SystemClock().now() + kMembershipDefault;
    delegation.one_time_curve = CurveKey::from_secret(secret_of("load one-time ", i)).public_key();
    delegation.one_time_signing = one_time.public_key();
    sign(delegation, authority);
    sign(certificate, one_time);
    NodeSummary node;
    node.key = certificate.curve;
    node.name = certificate.name;
    node.role = Role::kClient;
    node.capability = capability_of_nodes();
    node.enrolled = node.last_seen = kEnrolled;
    batch.put(cert_key(node.key), certificate_value(certificate));
    batch.put(node_key(node.key), encode(node));
    batch.put(token_key(delegation.token), encode(TokenRow{delegation, kEnrolled, node.key, kEnrolled}));
  }
  must(store->write(batch));
}

std::string Estate::log() const {
  std::ifstream file(folder_ / "service.log");
  return {std::istreambuf_iterator<char>(file), {}};
}

void Estate::serve(const ServeOptions& options) {
  std::vector<std::string> arguments{"--home", home(), "--json", "--threads", "1"};
  arguments.insert(arguments.end(), options.arguments.begin(), options.arguments.end());
  service_.reset();
  const std::size_t said = log().size();
  service_.emplace(Program{"covey-coordinator", arguments, folder_ / "service.log", options.open_files_max});
  // Its ports are open before it has proved its door and knows its nodes.
  const double end = now_seconds() + 30;
  while (log().find("\"coordinator_started\"", said) == std::string::npos) {
    if (!service_->alive() || now_seconds() > end) throw std::runtime_error("the service does not start: " + log());
    pause_seconds(0.01);
  }
}

JobId Estate::submit(const std::string& toml) {
  const NodeKeys keys = must(load_keys(operator_folder(home())));
  MemoryBlobs blobs;
  const BlobRef job = must(blobs.put(bytes_of(to_toml(must(parse_job(toml))))));
  const auto caller = must(make_caller({address_}, keys.curve, blobs));
  caller->publish(job);
  const Message reply = must(caller->call(OperatorRequest{1, SubmitJob{1, job}}, std::chrono::seconds(20)));
  const auto& answer = std::get<OperatorReply>(reply).answer;
  if (const auto* error = std::get_if<Error>(&answer)) throw std::runtime_error(error->message);
  return std::get<Submitted>(answer).job;
}

OperatorAnswer Estate::ask(OperatorVerb verb) {
  const NodeKeys keys = must(load_keys(operator_folder(home())));
  MemoryBlobs blobs;
  const auto caller = must(make_caller({address_}, keys.curve, blobs));
  const Message reply = must(caller->call(OperatorRequest{1, std::move(verb)}, std::chrono::seconds(20)));
  return std::get<OperatorReply>(reply).answer;
}

}  // namespace covey::load
