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

MemberCredential credential(std::uint8_t by = 2, std::uint32_t epoch = kCredentialEpochFirst) {
  return credential_for(*member().certificate, signing_key(by), epoch);
}

Withdrawals withdrawals(std::uint32_t number, std::uint32_t epoch = 1, std::vector<VerifyKey> keys = {}, std::uint8_t by = 2) {
  Withdrawals list{number, epoch, std::move(keys), {}};
  list.signature = signing_key(by).sign(kWithdrawalsDomain, signed_bytes(list));
  return list;
}

bool has_text(const Commands& commands, const std::string& words) {
  for (const Command& command : commands)
    if (const auto* line = std::get_if<WriteLog>(&command))
      for (const LogField& field : line->entry.fields)
        if (const auto* text = std::get_if<std::string>(&field.value); text != nullptr && text->find(words) != std::string::npos) return true;
  return false;
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
  Commands receive(const Withdrawals& list) {
    vouched.on(CredentialsWithdrawn{list});
    return out.take();
  }
};

Row row_of(const Withdrawals& kept) {
  return {std::string(client::Vouched::kListRow), ByteWriter().u8(1).blob(encode(kept)).take()};
}
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

TEST_CASE("client vouched: another authority's, another key's and another name's are refused") {
  Part part;
  MemberCredential other_key = credential();
  other_key.key = signing_key(3).public_key();
  sign(other_key, signing_key(2));
  MemberCredential other_name = credential();
  other_name.subject = subject_of("site-2");
  sign(other_name, signing_key(2));
  MemberCredential unsigned_one = credential();
  unsigned_one.signature = {};
  for (const MemberCredential& bad : {credential(3), other_key, other_name, unsigned_one}) {
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

TEST_CASE("client vouched: rows that are damaged or of another node stop it") {
  Part part;
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
  refused(row_of(withdrawals(1, 1, {}, 3)));
  Row cut = row_of(withdrawals(1));
  cut.value.pop_back();
  refused(cut);
}

TEST_CASE("client vouched: the highest credential epoch seen is durable, and a lower one is refused") {
  Part part;
  const Persist write = only<Persist>(part.receive(credential(2, 2)));
  CHECK(part.vouched.epoch_min() == 2);
  const Commands commands = part.receive(credential(2, 1));
  CHECK(has_logged(commands, "credential_refused"));
  CHECK(has_text(commands, "credential epoch 1 is below 2"));
  CHECK(part.vouched.credential()->epoch == 2);

  Part again;
  REQUIRE(again.vouched.load(Row{write.batch.puts[0].key, write.batch.puts[0].value}).has_value());
  CHECK(has_logged(again.receive(credential(2, 1)), "credential_refused"));

  // By the list alone, before any credential of that epoch came; what it held counts no more.
  Part listed;
  listed.receive(credential(2, 1));
  const Persist kept = only<Persist>(listed.receive(withdrawals(1, 2)));
  CHECK(listed.vouched.credential() == nullptr);
  CHECK(does_nothing(listed.receive(credential(2, 1))));  // the one it has
  CHECK(listed.vouched.credential() == nullptr);
  REQUIRE(listed.vouched.on(Persisted{kept.ticket}));
  CHECK(has_logged(listed.out.take(), "credentials_withdrawn"));
  listed.receive(credential(2, 2));
  CHECK(listed.vouched.credential()->epoch == 2);
  Part restarted;
  REQUIRE(restarted.vouched.load(row_of(credential(2, 1))).has_value());
  REQUIRE(restarted.vouched.load(Row{kept.batch.puts[0].key, kept.batch.puts[0].value}).has_value());
  CHECK(restarted.vouched.epoch_min() == 2);
  CHECK(restarted.vouched.credential() == nullptr);
}

TEST_CASE("client vouched: the number of the list of withdrawn credentials only grows, and only by the authority") {
  Part part;
  only<Persist>(part.receive(withdrawals(3, 1, {signing_key(8).public_key()})));
  CHECK(part.receive(withdrawals(3, 1, {signing_key(8).public_key()})).empty());  // told with every join
  for (const Withdrawals& bad : {withdrawals(2, 1, {signing_key(8).public_key()}), withdrawals(4, 1), withdrawals(5, 2, {}, 3)}) {
    const Commands commands = part.receive(bad);
    CHECK(has_logged(commands, "withdrawals_refused"));
    CHECK(does_nothing(commands));
    CHECK(part.vouched.withdrawals().number == 3);
  }
  // Its own key on it: it is a member no more.
  part.receive(credential());
  CHECK(part.vouched.credential() != nullptr);
  std::vector<VerifyKey> both{signing_key(8).public_key(), member().certificate->signing};
  std::sort(both.begin(), both.end());
  only<Persist>(part.receive(withdrawals(4, 1, both)));
  CHECK(part.vouched.credential() == nullptr);
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
