// Which credentials a client believes, and that it keeps the one it has.
#include "client/vouched.h"

#include "core/base/wire.h"
#include "tests/client/hand_driven.h"

namespace covey {
namespace {

SigningKey signing_key(std::uint8_t n) {
  std::array<std::uint8_t, 32> seed{};
  seed[0] = n;
  return SigningKey::from_seed(Secret<32>(seed));
}

ClientConfig member() {
  ClientConfig config;
  config.coordinator = kCoordinator;
  config.capability = {"cpu", 4, std::uint64_t{1} << 30, 10};
  config.instance = 42;
  Certificate certificate;
  certificate.name = "site-1";
  certificate.signing = signing_key(1).public_key();
  certificate.curve = PeerKey{{9}};
  certificate.delegation.members_until = Instant(std::chrono::hours(24 * 40'000));
  config.certificate = certificate;
  config.authority = signing_key(2).public_key();
  config.signing = std::make_shared<const SigningKey>(signing_key(1));
  return config;
}

MemberCredential credential(std::uint8_t by = 2, std::uint32_t epoch = kCredentialEpoch) {
  return credential_for(*member().certificate, signing_key(by), epoch);
}

// The part alone, with its outbox.
struct Part {
  ClientConfig config = member();
  client::ClientOutbox out{kCoordinator};
  client::Vouched vouched{config, out};
  Commands receive(const MemberCredential& issued) {
    vouched.on(CredentialIssued{issued});
    return out.take();
  }
};

Row row_of(const MemberCredential& kept) {
  return {std::string(client::Vouched::kRow), ByteWriter().u8(1).blob(encode(kept)).take()};
}

}  // namespace

TEST_CASE("client vouched: its credential counts at once, for an offer may be next, and is kept over a restart") {
  Part part;
  CHECK(part.vouched.credential() == nullptr);
  const Persist write = only<Persist>(part.receive(credential()));
  REQUIRE(part.vouched.credential() != nullptr);
  CHECK(*part.vouched.credential() == credential());
  CHECK(part.receive(credential()).empty());  // told with every join
  CHECK_FALSE(part.vouched.on(Persisted{write.ticket + 1}));
  REQUIRE(part.vouched.on(Persisted{write.ticket}));
  CHECK(has_logged(part.out.take(), "vouched_for"));

  REQUIRE(write.batch.puts.size() == 1);
  Part again;
  REQUIRE(again.vouched.load(Row{write.batch.puts[0].key, write.batch.puts[0].value}).has_value());
  REQUIRE(again.vouched.credential() != nullptr);
  CHECK(*again.vouched.credential() == credential());
  CHECK(again.receive(credential()).empty());
}

TEST_CASE("client vouched: another authority's, another epoch's, another key's and another name's are refused") {
  Part part;
  MemberCredential other_key = credential();
  other_key.key = signing_key(3).public_key();
  sign(other_key, signing_key(2));
  MemberCredential other_name = credential();
  other_name.subject = subject_of("site-2");
  sign(other_name, signing_key(2));
  MemberCredential unsigned_one = credential();
  unsigned_one.signature = {};
  for (const MemberCredential& bad : {credential(3), credential(2, kCredentialEpoch + 1), other_key, other_name, unsigned_one}) {
    const Commands commands = part.receive(bad);
    CHECK(has_logged(commands, "credential_refused"));
    CHECK(does_nothing(commands));
    CHECK(part.vouched.credential() == nullptr);
  }
  const Persist write = only<Persist>(part.receive(credential()));
  REQUIRE(part.vouched.on(Persisted{write.ticket}));
  part.out.take();
  CHECK(does_nothing(part.receive(other_name)));
  CHECK(*part.vouched.credential() == credential());
}

TEST_CASE("client vouched: a client without certificate believes none") {
  Part part;
  part.config.certificate.reset();
  CHECK(has_logged(part.receive(credential()), "credential_refused"));
}

TEST_CASE("client vouched: rows that are damaged or of another node stop it, one of an old epoch is left out") {
  Part part;
  REQUIRE(part.vouched.load(row_of(credential(2, kCredentialEpoch + 1))).has_value());
  CHECK(part.vouched.credential() == nullptr);
  const auto refused = [&](const Row& row) {
    const auto loaded = part.vouched.load(row);
    REQUIRE_FALSE(loaded.has_value());
    CHECK(loaded.error().code == ErrorCode::kCorrupted);
  };
  refused(row_of(credential(3)));
  Row damaged = row_of(credential());
  damaged.value.back() ^= 1U;
  refused(damaged);
  damaged.value.pop_back();
  refused(damaged);
  Row unknown = row_of(credential());
  unknown.value.front() = 2;
  refused(unknown);
}

TEST_CASE("client: a whole client keeps its credential, and refuses a signing key that is not its certificate's") {
  auto made = Client::create(member(), {});
  REQUIRE(made.has_value());
  (*made)->handle(Started{}, Instant(1h));
  const Commands commands = (*made)->handle(Received{kCoordinator, CredentialIssued{credential()}}, Instant(1h));
  const Persist write = only<Persist>(commands);
  CHECK(has_logged((*made)->handle(Persisted{write.ticket}, Instant(1h)), "vouched_for"));
  CHECK(Client::create(member(), {row_of(credential())}).has_value());

  ClientConfig mixed = member();
  mixed.signing = std::make_shared<const SigningKey>(signing_key(7));
  const auto refused = Client::create(std::move(mixed), {});
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == ErrorCode::kInvalidArgument);
}

}  // namespace covey
