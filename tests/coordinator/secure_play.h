// Jobs with secure aggregation, run by hand: a real Coordinator, and real SecAggClients as its members, who
// repeat themselves as the client does. A test drops messages, members and the coordinator.
#pragma once
#include <cmath>
#include <functional>
#include <memory>
#include <set>

#include "core/base/random.h"
#include "privacy/ring_encoder.h"
#include "privacy/round_terms.h"
#include "privacy/secagg_client.h"
#include "tests/coordinator/driver.h"
#include "tests/privacy/lying_dealer.h"

namespace covey {

class DriverBytes final : public SecureRandom {
 public:
  explicit DriverBytes(std::uint64_t seed) : random_(seed) {}
  void fill(std::span<std::uint8_t> out) override {
    for (auto& byte : out) byte = static_cast<std::uint8_t>(random_.next() >> 32);
  }

 private:
  Random random_;
};

inline std::string secure_job(const std::string& more = "", std::uint32_t rounds = 1) {
  return job_text("[privacy]\nsecure_aggregation = true\ndropout = 0.3\n[round]\nquorum = 0.1\n" + more, rounds);
}

class SecurePlay {
 public:
  static constexpr std::uint64_t kDealerSeed = 4711;
  struct Part {                    // of one member in one attempt
    RoundOffer offer;
    std::unique_ptr<SeededBytes> chance;  // of a lying dealer
    std::unique_ptr<SecAggClient> client;
    std::vector<float> update;
    std::uint64_t examples = 0;
    std::vector<std::uint64_t> encoded, figures;  // before masks
    std::optional<MaskedReady> ready;
    bool accepted = false;
    std::map<Digest, std::vector<Bytes>> answers;  // to what was heard, for when it is heard again
  };
  struct Person {
    std::uint8_t number = 0;
    SigningKey key;
    MemberCredential credential;
    AttemptBook book;
    std::optional<Part> part;
    std::uint64_t instance = 1;
  };

  explicit SecurePlay(std::uint8_t clients = 6) : d(clients) {
    d.config().random = std::make_shared<DriverBytes>(5);
    d.config().public_work = std::make_shared<PublicWork>(PublicWork::Memory::kRemember);
    d.restart();
    policy.authority = authority().public_key();
    for (std::uint8_t n = 0; n < clients; ++n) {
      auto person = std::make_unique<Person>(Person{n, key_of<SigningKey>(3, n), {}, {}, {}, 1});
      person->credential = credential_for(d.client(n).certificate, authority());
      people.push_back(std::move(person));
    }
  }
  void vouch(const std::set<std::uint8_t>& who) {
    std::vector<NodeCredential> issued;
    for (const std::uint8_t n : who) issued.push_back({d.client(n).key(), people[n]->credential});
    const auto answer = d.ask(IssueCredentials{issued});
    if (const auto* error = std::get_if<Error>(&answer)) FAIL(error->message);
  }
  void vouch_all() {
    std::set<std::uint8_t> all;
    for (const auto& person : people) all.insert(person->number);
    vouch(all);
  }
  void begin(const std::string& toml = secure_job()) {
    vouch_all();
    d.join_all();
    const auto answer = d.submit(toml);
    if (const auto* error = std::get_if<Error>(&answer)) FAIL(error->message);
    job = parse_job(toml).value();
  }

  // Carries what was sent, and what follows, until nothing more comes. `hold` keeps a message from its
  // member; what is held is lost.
  void run() {
    while (d.alive() && seen < d.sent.size()) {
      const Send send = d.sent[seen++];
      const auto who = std::find_if(people.begin(), people.end(),
                                    [&](const auto& p) { return d.client(p->number).key() == send.to.peer; });
      if (who == people.end() || silent.contains((*who)->number)) continue;
      if (hold && hold((*who)->number, send.message)) continue;
      std::visit([&](const auto& message) { on(**who, message); }, send.message);
    }
  }
  // Until the job is over, or `turns` heartbeats have gone by.
  void finish(int turns = 60) {
    for (int turn = 0; turn < turns; ++turn) {
      if (!d.alive()) restart();
      run();
      if (!d.alive()) continue;
      if (d.logged("job_finished") + d.logged("job_failed") > 0 && seen == d.sent.size()) return;
      if (d.alive()) d.advance(4s);
      for (const auto& person : people)
        if (!silent.contains(person->number) && d.alive()) d.from(d.client(person->number), Heartbeat{person->instance});
    }
  }
  // What was on its way is lost; everyone comes back and says again what nothing has answered.
  void restart() {
    seen = d.sent.size();
    d.restart();
    for (const auto& person : people)
      if (!silent.contains(person->number) && d.alive()) d.join(d.client(person->number), person->instance);
  }
  // These members' processes are others: what they knew in memory is gone. The ones before do not answer any more.
  void restart_members(const std::set<std::uint8_t>& who) {
    const std::set<std::uint8_t> away = silent;
    const std::size_t joined = d.logged("node_joined");
    for (const std::uint8_t n : who) {
      people[n]->part.reset();
      silent.insert(n);
      d.join(d.client(n), ++people[n]->instance);
    }
    for (int turn = 0; turn < 12 && d.logged("node_joined") < joined + who.size(); ++turn) pass(1);
    REQUIRE(d.logged("node_joined") == joined + who.size());
    silent = away;
    for (const std::uint8_t n : who) silent.erase(n);
  }
  // Time goes by, with signs of life of whoever is there.
  void pass(int turns) {
    for (int turn = 0; turn < turns; ++turn) {
      d.advance(4s);
      for (const auto& person : people)
        if (!silent.contains(person->number)) d.from(d.client(person->number), Heartbeat{person->instance});
      run();
    }
  }
  void say(Person& person, Message message) {
    if (d.alive()) d.from(d.client(person.number), std::move(message));
  }

  // What the model must be: bit for bit the mean of the plain sum of what these members encoded.
  std::vector<float> expected(const std::set<std::uint8_t>& survivors, const std::vector<float>& before) {
    const Part& any = *people[*survivors.begin()]->part;
    const std::uint32_t most = any.client->config().members_max;
    const RingEncoding encoding = ring_encoding(encoding_terms(job), most).value();
    const Ring ring = *Ring::of_width(encoding.width);
    std::vector<std::uint64_t> sum(any.encoded.size());
    std::uint64_t examples = 0;
    for (const std::uint8_t n : survivors) {
      combine(sum, people[n]->part->encoded, Sign::kPlus, ring);
      examples += std::min(people[n]->part->examples, job.privacy.examples_max);
    }
    std::vector<double> mean(before.size());
    decode_mean(sum, encoding, examples, mean);
    std::vector<float> after(before.size());
    for (std::size_t i = 0; i < after.size(); ++i) after[i] = static_cast<float>(static_cast<double>(before[i]) - mean[i]);
    return after;
  }
  std::uint64_t examples_of(const std::set<std::uint8_t>& who) const {
    std::uint64_t examples = 0;
    for (const std::uint8_t n : who) examples += people[n]->part->examples;
    return examples;
  }
  std::set<std::uint8_t> all_but(const std::set<std::uint8_t>& out) const {
    std::set<std::uint8_t> rest;
    for (const auto& person : people)
      if (!out.contains(person->number)) rest.insert(person->number);
    return rest;
  }

  Driver d;
  ClientPolicy policy;
  JobSpec job;
  DriverBytes bytes{77};
  PublicWork work{PublicWork::Memory::kRemember};
  std::vector<std::unique_ptr<Person>> people;
  std::set<std::uint8_t> silent;
  std::map<std::uint8_t, DealerLies> dealers;  // who lies in what it deals, in every attempt
  // Who changes the shares it reveals: of all others' secrets, or of this member's alone.
  std::map<std::uint8_t, std::optional<std::uint8_t>> holders;
  std::uint64_t clamped = 0;                   // elements that each says it clamped
  std::set<std::uint8_t> noise;                // who sends figures that nobody measured
  enum class BadJoin { kNoKey, kUnsigned };
  std::map<std::uint8_t, BadJoin> joiners;     // whose joins are none
  std::set<std::uint8_t> writers;    // say what fits a note in letters too, where a letter can be sent
  int letter_times = 1;              // that each letter is said
  std::function<bool(std::uint8_t, const Message&)> hold;
  std::size_t seen = 0;              // of d.sent
  std::vector<Error> refusals;       // by members
  std::vector<UpdateRefused> update_refusals;
  std::vector<std::pair<std::uint8_t, RoundClosed>> closed;

 private:
  template <class Other>
  void on(Person&, const Other&) {}
  void on(Person& person, const RoundOffer& offer) {
    if (person.part && person.part->offer.key == offer.key) {
      if (person.part->ready && !person.part->accepted) return say(person, *person.part->ready);
      return say(person, RoundAccept{offer.key});
    }
    person.part.reset();  // closes the one before, which would close this one's data scope
    Part& part = person.part.emplace();
    part.offer = offer;
    part.update = d.update_of(d.client(person.number).key(), offer.key.round);
    for (float& value : part.update) value /= 8;
    part.examples = 10 + person.number;
    const SecAggMember member{person.key, person.credential, policy, true};
    const bool liar = dealers.contains(person.number);
    if (liar) part.chance = std::make_unique<SeededBytes>(kDealerSeed);
    part.client = std::make_unique<SecAggClient>(member, terms_of(secure_round(offer), secure_vectors(job, offer.kind, 8, 1).value()),
                                                 person.book, work, liar ? static_cast<SecureRandom&>(*part.chance) : bytes);
    say(person, RoundAccept{offer.key});
  }
  void on(Person& person, const SecAggNote& note) { hear(person, note.key, note.content); }
  void on(Person& person, const SecAggLetter& letter) {
    REQUIRE(d.published_to[d.client(person.number).key()].contains(letter.content.id));
    hear(person, letter.key, d.blobs.get(letter.content.id).value());
  }
  void on(Person& person, const UpdateAccepted& accepted) {
    if (person.part && person.part->offer.key == accepted.key) person.part->accepted = true;
  }
  void on(Person&, const UpdateRefused& refused) { update_refusals.push_back(refused); }
  void on(Person& person, const RoundClosed& over) { closed.emplace_back(person.number, over); }

  void hear(Person& person, const RoundKey& key, const Bytes& content) {
    const auto message = decode_secagg_message(content);
    REQUIRE(message);
    if (!person.part || person.part->offer.key != key) return late(person, key, *message);
    Part& part = *person.part;
    const Digest asked = sha256(content);
    if (const auto known = part.answers.find(asked); known != part.answers.end()) {
      for (const Bytes& answer : known->second) tell(person, key, answer);
      if (std::holds_alternative<MaskOrderMessage>(*message) && part.ready && !part.accepted) say(person, *part.ready);
      return;
    }
    auto step = part.client->handle(content, d.now);
    if (!step) {
      refusals.push_back(step.error());
      return late(person, key, *message);
    }
    if (dealers.contains(person.number) && std::holds_alternative<RosterMessage>(*message))
      step->messages[0] =
          LyingDealer{kDealerSeed, dealers.at(person.number), person.key}.instead_of(step->messages[0], *part.client->cohort());
    if (holders.contains(person.number)) spoil(person, step->messages);
    if (joiners.contains(person.number)) spoil_join(person, step->messages);
    part.answers[asked] = step->messages;
    for (const Bytes& answer : step->messages) tell(person, key, answer);
    if (step->mask) mask(person, part, *step->mask);
  }
  void spoil(Person& person, std::vector<Bytes>& messages) {
    const std::optional<std::uint8_t> only = holders.at(person.number);
    for (Bytes& content : messages) {
      auto message = decode_secagg_message(content);
      auto* const unmask = message ? std::get_if<UnmaskMessage>(&*message) : nullptr;
      if (unmask == nullptr) continue;
      const auto& entries = person.part->client->cohort()->entries();
      for (RevealedShare& share : unmask->shares) {
        const bool wanted = only ? entries[share.dealer].credential.subject == people[*only]->credential.subject : share.dealer != unmask->member;
        if (wanted) share.value.bytes[0] ^= 1;
      }
      unmask->signature = person.key.sign(kUnmaskDomain, unmask_statement(*unmask));
      content = encode(*message);
    }
  }
  void spoil_join(Person& person, std::vector<Bytes>& messages) {
    for (Bytes& content : messages) {
      auto message = decode_secagg_message(content);
      auto* const join = message ? std::get_if<JoinMessage>(&*message) : nullptr;
      if (join == nullptr) continue;
      join->entry.masking_key = joiners.at(person.number) == BadJoin::kNoKey ? AgreementPublicKey{} : AgreementKey::from_secret(Secret<32>(std::array<std::uint8_t, 32>{9, 9})).public_key();
      if (joiners.at(person.number) == BadJoin::kNoKey)
        join->entry.signature = person.key.sign(kJoinDomain, join_statement(join->entry, join->sid, hash_of(person.part->client->config())));
      content = encode(*message);
    }
  }
  // Of an attempt that it is in no more: it may vote for its ABORT, and a quorum's still frees it.
  void late(Person& person, const RoundKey& key, const SecAggMessage& message) {
    if (const auto* request = std::get_if<AbortRequestMessage>(&message))
      if (const auto vote = person.book.vote_abort_late(request->id, person.key.public_key()))
        tell(person, key, encode(SecAggMessage(VoteMessage{request->id, Verdict::kAbort, vote->member,
                                                           person.key.sign(kOutcomeDomain, abort_statement(request->id))})));
    if (const auto* outcome = std::get_if<OutcomeMessage>(&message))
      if (const auto freed = person.book.abort(*outcome, work); !freed) refusals.push_back(freed.error());
  }
  void tell(Person& person, const RoundKey& key, const Bytes& content) {
    const bool letter = content.size() > kSecAggNoteBytesMax || writers.contains(person.number);
    if (!letter) return say(person, SecAggNote{key, content});
    for (int time = 0; time < letter_times; ++time) say(person, SecAggLetter{key, d.lay_out(d.client(person.number).key(), content)});
  }
  void mask(Person& person, Part& part, const MaskPlan& plan) {
    const std::uint32_t most = part.client->config().members_max;
    const RingEncoding encoding = ring_encoding(encoding_terms(job), most).value();
    const Ring ring = *Ring::of_width(encoding.width);
    if (part.offer.kind == RoundKind::kTrain) {
      part.encoded.resize(ring.words(part.update.size()));
      const UpdateEncoder encoder(encoding, part.examples, {job.seed, part.offer.key, d.client(person.number).key()});
      REQUIRE(encoder.encode(part.update, 0, part.encoded));
    }
    MemberFigures figures;
    figures.examples = part.examples;
    figures.train = {6, 12, 3, 1.5};
    figures.evaluation = {4, 8, 2};
    figures.clamped = clamped;
    part.figures = encode_figures(figures, job.privacy.examples_max, most).value();
    if (noise.contains(person.number)) part.figures[0] = Ring::of_width(kFiguresWidth)->lane_mask() >> 2U;
    MaskedHash hash(plan.sid);
    Bytes blob;
    for (std::size_t v = 0; v < plan.vectors.size(); ++v) {
      std::vector<std::uint64_t> words = plan.vectors[v].name == kUpdateVector ? part.encoded : part.figures;
      apply_masks({words, 0}, covey::terms_of(plan, v), *Ring::of_width(plan.vectors[v].width), plan.cipher);
      hash.begin(v, plan.vectors[v]).update(words);
      const auto* raw = reinterpret_cast<const std::uint8_t*>(words.data());
      blob.insert(blob.end(), raw, raw + words.size() * sizeof(std::uint64_t));
    }
    auto step = part.client->on_masked(hash.finish(), d.now);
    REQUIRE(step);
    part.ready = MaskedReady{part.offer.key, part.offer.model.id, d.lay_out(d.client(person.number).key(), blob),
                             step->messages.front(), 1.5};
    say(person, *part.ready);
  }
};

template <class M>
bool is_note(const Message& message) {
  const auto* note = std::get_if<SecAggNote>(&message);
  const auto decoded = note == nullptr ? Result<SecAggMessage>(unexpected(ErrorCode::kNotFound, "")) : decode_secagg_message(note->content);
  return decoded && std::holds_alternative<M>(*decoded);
}

inline bool of_later_round(const Message& message) {
  const auto* offer = std::get_if<RoundOffer>(&message);
  return offer != nullptr && offer->key.round > 1;
}

// Heartbeats, and what follows from them, until this is so.
inline void beat(SecurePlay& play, int turns, const std::function<bool()>& done) {
  for (int turn = 0; turn < turns && !done(); ++turn) {
    play.run();
    if (done()) return;
    play.d.advance(4s);
    for (const auto& person : play.people)
      if (!play.silent.contains(person->number)) play.d.from(play.d.client(person->number), Heartbeat{1});
  }
}

}  // namespace covey
