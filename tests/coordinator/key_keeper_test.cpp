// A change of the coordinator's CURVE key, by hand: in what order things become durable, served and told.
#include "coordinator/key_keeper.h"

#include "core/protocol/audit.h"
#include "tests/coordinator/driver.h"

using namespace covey;

namespace {

const PeerKey kFirst = key_of<CurveKey>(30, 1).public_key();
const PeerKey kSecond = key_of<CurveKey>(30, 2).public_key();

// A Driver with the folder of keys beside it.
struct KeyDriver : Driver {
  explicit KeyDriver(std::uint8_t clients = 1) : Driver(clients) {
    config().keys = TransportKeys{kFirst, std::nullopt};
    keys = [this](const RotateKey& work) -> Result<KeyRotated> {
      steps.push_back(work.step);
      if (refuse) return unexpected(ErrorCode::kUnavailable, "the folder cannot be written");
      if (work.step == KeyStep::kKeep) config().keys->newest = work.change;
      if (work.step == KeyStep::kRetire) config().keys->current = work.change.after.key;
      return KeyRotated{kSecond};
    };
    restart();
  }
  KeyChange change(std::uint64_t serial = 5, Duration overlap = 24h) {
    KeyChange made{config().record_key->public_key(), {kFirst, 7700, 7701}, {kSecond, 7702, 7703}, serial, now, now + overlap, {}};
    sign(made, authority());
    return made;
  }
  KeyPrepared prepare() { return std::get<KeyPrepared>(ask(PrepareKey{7702, 7703})); }
  std::string refusal(OperatorVerb verb) {
    const OperatorAnswer answer = ask(std::move(verb));
    const auto* error = std::get_if<Error>(&answer);
    return error == nullptr ? "" : error->message;
  }
  std::vector<KeyStep> steps;
  bool refuse = false;
};

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("key change: is prepared, signed, kept, made durable, and only then told to everybody") {
  KeyDriver d;
  d.join(d.client(0));
  const KeyPrepared prepared = d.prepare();
  CHECK(prepared == KeyPrepared{kFirst, kSecond, 0});
  CHECK(d.serving.at(kSecond) == KeyPlace{kSecond, 7702, 7703});
  CHECK(d.count<KeyChanged>() == 0);

  d.withhold_writes = true;
  const KeyChange change = d.change();
  d.from(boss(), OperatorRequest{77, RegisterKeyChange{change}});
  CHECK(d.steps == std::vector{KeyStep::kMake, KeyStep::kKeep});
  CHECK(d.config().keys->newest == change);
  CHECK(d.count<KeyChanged>() == 0);
  CHECK_FALSE(d.store.get("keychange").value());
  d.release_writes();
  CHECK(std::holds_alternative<Done>(d.last<OperatorReply>(boss().key())->answer));
  CHECK(d.last<KeyChanged>(d.client(0).key())->change == change);
  CHECK(d.store.get("keychange").value());
  CHECK(has(std::get<Done>(d.ask(RegisterKeyChange{change})).text, "already"));
  CHECK(d.last<KeyChanged>(boss().key())->change == change);  // an operator hears it with any answer

  const std::size_t told = d.all<KeyChanged>(d.client(0).key()).size();
  d.join(d.client(0), 1, 2);  // and each node with its join
  CHECK(d.all<KeyChanged>(d.client(0).key()).size() == told + 1);
  d.from(d.client(0).link(3), Heartbeat{1});  // and over a new link
  CHECK(d.all<KeyChanged>(d.client(0).key()).size() == told + 2);
}

TEST_CASE("key change: a second one within the overlap, older, foreign and unprepared ones change nothing") {
  KeyDriver d;
  CHECK(has(d.refusal(RegisterKeyChange{d.change()}), "is not prepared here"));
  CHECK(has(d.refusal(PrepareKey{0, 7703}), "from 1 to 65535"));
  CHECK(has(d.refusal(PrepareKey{7702, 7702}), "two different ones"));
  d.taken_ports = {7800};
  CHECK(has(d.refusal(PrepareKey{7800, 7801}), "cannot listen: taken"));
  d.prepare();
  CHECK(d.serving.size() == 1);
  const auto with = [&](auto edit, const SigningKey& by) {
    KeyChange change = d.change();
    edit(change);
    sign(change, by);
    return RegisterKeyChange{change};
  };
  CHECK(has(d.refusal(with([](KeyChange&) {}, key_of<SigningKey>(9, 9))), "not made by the authority"));
  CHECK(has(d.refusal(with([](KeyChange& c) { c.record = VerifyKey{{1}}; }, authority())), "another coordinator"));
  CHECK(has(d.refusal(with([](KeyChange& c) { c.before.key = PeerKey{{3}}; }, authority())), "this coordinator's key is"));
  CHECK(has(d.refusal(with([](KeyChange& c) { c.after.bulk_port = 7999; }, authority())), "is not prepared here"));
  CHECK(has(d.refusal(with([&](KeyChange& c) { c.old_until = d.now; c.not_before = d.now - 1s; }, authority())), "must lie after now"));
  CHECK(has(d.refusal(with([&](KeyChange& c) { c.old_until = d.now + kOverlapMax + kClockSlack + 1s; }, authority())), "within 90 days"));
  CHECK_FALSE(d.store.get("keychange").value());
  CHECK(std::holds_alternative<Done>(d.ask(RegisterKeyChange{d.change()})));
  const Bytes row = d.store.get("keychange").value().value();

  CHECK(has(d.refusal(PrepareKey{7704, 7705}), "a second change can follow"));
  CHECK(has(d.refusal(RegisterKeyChange{d.change(6)}), "is served until"));
  CHECK(has(d.refusal(RegisterKeyChange{d.change(4)}), "number 5 is here already"));
  CHECK(d.store.get("keychange").value().value() == row);
}

TEST_CASE("key change: ends with its overlap; the key before is dropped and erased, audited, and another can follow") {
  KeyDriver d;
  d.join(d.client(0));
  d.prepare();
  d.ask(RegisterKeyChange{d.change(5, 1h)});
  const std::size_t told = d.all<KeyChanged>(d.client(0).key()).size();
  d.serving[kFirst] = {kFirst, 7700, 7701};
  d.advance(59min);
  CHECK(d.serving.contains(kFirst));
  d.advance(2min);
  CHECK_FALSE(d.serving.contains(kFirst));
  CHECK(d.steps.back() == KeyStep::kRetire);
  CHECK(d.logged("key_retired") == 1);
  d.join(d.client(0), 2, 2);
  CHECK(d.all<KeyChanged>(d.client(0).key()).size() == told);  // nobody needs it now
  std::vector<AuditKind> kinds;
  const OperatorAnswer audit = d.ask(ListAudit{0});
  for (const ChainRecord& record : std::get<ChainRows>(audit).rows)
    kinds.push_back(decode_audit_entry(record.body).value().kind);
  CHECK(std::count(kinds.begin(), kinds.end(), AuditKind::kKeyChanged) == 1);
  CHECK(std::count(kinds.begin(), kinds.end(), AuditKind::kKeyRetired) == 1);
  CHECK(d.prepare().before == kSecond);
}

TEST_CASE("key change: a start with the clock a day ahead ends no overlap early, and a restart forgets none of it") {
  KeyDriver d;
  d.prepare();
  d.ask(RegisterKeyChange{d.change(5, 12h)});
  d.serving[kFirst] = {kFirst, 7700, 7701};
  d.advance(1h);
  d.crash();
  d.now += 24h;
  d.start();
  d.serving[kFirst] = {kFirst, 7700, 7701};
  CHECK(d.logged("key_retired") == 0);
  d.advance(5h);
  d.restart();  // of the hour and the five, what was not yet written is served once more
  d.serving[kFirst] = {kFirst, 7700, 7701};
  d.advance(5h + 45min);
  CHECK(d.logged("key_retired") == 0);
  CHECK(d.steps.back() == KeyStep::kKeep);
  d.advance(15min + 2 * kServedStored);
  CHECK(d.logged("key_retired") == 1);
  CHECK(d.steps.back() == KeyStep::kRetire);
  CHECK_FALSE(d.store.get("keyserved").value());
}

TEST_CASE("key change: nodes that a message missed are told again, and what nobody signed for is dropped") {
  KeyDriver d;
  d.join(d.client(0));
  d.prepare();
  d.advance(kPreparedMax + 10s);
  CHECK(d.serving.empty());
  CHECK(has(d.refusal(RegisterKeyChange{d.change()}), "is not prepared here"));
  d.prepare();
  d.join(d.client(0), 1, 5);
  d.ask(RegisterKeyChange{d.change(5, 24h)});
  const std::size_t told = d.all<KeyChanged>(d.client(0).key()).size();
  for (int i = 0; i < 800; ++i) {  // the client stays
    d.advance(5s);
    d.from(d.client(0).link(5), Heartbeat{1});
  }
  CHECK(d.all<KeyChanged>(d.client(0).key()).size() == told + 1);
}

TEST_CASE("key change: a crash at any event leaves either nothing or the whole change") {
  for (std::uint64_t at = 1; at < 40; ++at)
    for (const Crash how : {Crash::kBeforeWrites, Crash::kAfterWrites}) {
      KeyDriver d;
      d.crash_at = d.handled + at;
      d.crash_how = how;
      if (d.alive()) d.from(boss(), OperatorRequest{1, PrepareKey{7702, 7703}});
      if (d.alive()) d.from(boss(), OperatorRequest{2, RegisterKeyChange{d.change(5, 1h)}});
      const bool kept = d.config().keys->newest.has_value();
      if (d.alive()) d.advance(2h);
      if (d.alive()) d.crash();
      const bool promised = d.count<KeyChanged>() > 0;
      d.crash_at.reset();
      d.start();
      CAPTURE(at);
      CHECK((kept || !promised));
      if (!kept) {
        CHECK(std::holds_alternative<KeyPrepared>(d.ask(PrepareKey{7702, 7703})));
        continue;
      }
      d.join(d.client(0), 9, 9);
      CHECK(d.store.get("keychange").value());
      d.advance(3h);
      CHECK(d.config().keys->current == kSecond);
      CHECK(std::holds_alternative<KeyPrepared>(d.ask(PrepareKey{7700, 7701})));
    }
}

TEST_CASE("key change: a folder that cannot be written, or is older than the row, is said") {
  KeyDriver d;
  d.refuse = true;
  CHECK(has(d.refusal(PrepareKey{7702, 7703}), "the folder cannot be written"));
  d.refuse = false;
  d.prepare();
  d.refuse = true;
  CHECK(has(d.refusal(RegisterKeyChange{d.change()}), "the folder cannot be written"));
  CHECK_FALSE(d.store.get("keychange").value());
  d.refuse = false;
  CHECK(std::holds_alternative<Done>(d.ask(RegisterKeyChange{d.change(6)})));
  CoordinatorConfig older = d.config();
  older.keys->newest.reset();
  const auto created = Coordinator::create(older, d.store.scan("").value());
  REQUIRE_FALSE(created);
  CHECK(created.error().code == ErrorCode::kCorrupted);
  CHECK(has(created.error().message, "key-changes/"));
  Driver without;
  const OperatorAnswer answer = without.ask(PrepareKey{7702, 7703});
  CHECK(std::get<Error>(answer).code == ErrorCode::kUnsupported);
}
