// Messages of secure aggregation that are too long for a control frame travel as blobs.
#include "tests/client/secure_cohort.h"

using namespace covey;

namespace {

constexpr std::uint32_t kMembers = 110;  // a client's shares for the others take more than 12 KiB

CohortOptions crowded() {
  return {1, [](SecAggConfig& c) {
            c.members_max = kMembers;
            c.members_min = 100;
            c.survivors_min = 20;
            c.corrupt_max = 11;
          }};
}

// One client, and enough other members that join and do no more.
struct Crowd {
  SecureCohort cohort{crowded()};
  Bytes roster;

  Crowd() {
    cohort.at(0).config.secure.corrupt_min = 11;
    cohort.at(0).start();
    cohort.at(0).hear(cohort.offer);
    const SecAggConfig& c = cohort.server->config();
    ClientPolicy policy;
    policy.authority = cohort.authority.public_key();
    for (std::uint32_t i = 1; i < kMembers; ++i) {
      const SigningKey key = SigningKey::generate(cohort.bytes);
      MemberCredential credential{subject_of("other-" + std::to_string(i)), kCredentialEpochFirst, key.public_key(), {}};
      sign(credential, cohort.authority);
      AttemptBook book;
      SecAggClient member({key, credential, policy, true}, {c.task, c.round, c.stage, c.data_scope, c.model, c.training, c.vectors},
                          book, cohort.work, cohort.bytes);
      const auto joined = member.handle(cohort.server->invitation(), Instant{});
      REQUIRE(joined.has_value());
      cohort.tell_server(joined->messages[0]);
    }
    cohort.carry();
    REQUIRE(cohort.server->joined() == kMembers);
    const auto out = cohort.server->close_joins();
    REQUIRE(out.has_value());
    roster = (*out)[0].message;
    REQUIRE(roster.size() > kSecAggNoteBytesMax);
  }
  SecureSite& site() { return cohort.at(0); }
  SecAggLetter letter(const Bytes& content) {
    const BlobRef blob = blob_ref_of(content);
    site().served[blob.id] = content;
    return {cohort.offer.key, blob};
  }
};

}  // namespace

TEST_CASE("secure letter: a roster comes as a blob, and the shares leave as one, erased at the end") {
  Crowd crowd;
  SecureSite& site = crowd.site();
  site.said.clear();
  site.hear(crowd.letter(crowd.roster));
  CHECK(site.all_said<SecAggNote>().empty());
  REQUIRE(site.all_said<SecAggLetter>().size() == 1);
  const SecAggLetter sent = site.all_said<SecAggLetter>()[0];
  CHECK(sent.key == crowd.cohort.offer.key);
  CHECK(sent.content.size > kSecAggNoteBytesMax);
  CHECK(site.published.contains(sent.content.id));
  const Bytes shares = *site.blobs.get(sent.content.id);
  const auto message = decode_secagg_message(shares);
  REQUIRE(message.has_value());
  CHECK(std::get<SharesMessage>(*message).sealed.size() == kMembers - 1);
  CHECK(crowd.cohort.server->handle(shares).has_value());

  site.said.clear();
  site.now += 1s;
  site.served.clear();                    // nor is it fetched again
  site.hear(SecAggLetter{crowd.cohort.offer.key, blob_ref_of(crowd.roster)});  // the coordinator restarted, say
  CHECK(site.all_said<SecAggLetter>() == std::vector<SecAggLetter>{sent});
  site.said.clear();
  site.fire("aggregation");
  CHECK(site.all_said<SecAggLetter>() == std::vector<SecAggLetter>{sent});

  site.hear(RoundClosed{crowd.cohort.offer.key, false, ""});
  CHECK_FALSE(site.published.contains(sent.content.id));
  CHECK_FALSE(site.blobs.has(sent.content.id));
}

TEST_CASE("secure letter: bounds are kept, and no blob that the client needs is taken for one") {
  Crowd crowd;
  SecureSite& site = crowd.site();
  site.said.clear();
  const auto ignored = [&](const SecAggLetter& letter) {
    site.log.clear();
    site.hear(letter);
    CHECK(site.said.empty());
    CHECK(site.log == std::vector<std::string>{"aggregation_message_refused"});
  };
  SecAggLetter letter = crowd.letter(crowd.roster);
  letter.key.attempt = 9;
  ignored(letter);
  letter = crowd.letter(crowd.roster);
  letter.content.size = kSecAggLetterBytesMax + 1;
  ignored(letter);
  letter.content.size = 0;
  ignored(letter);
  ignored({crowd.cohort.offer.key, crowd.cohort.offer.model});
  Bytes torn = crowd.roster;
  torn.pop_back();
  ignored(crowd.letter(torn));
  site.hear(crowd.letter(crowd.roster));
  CHECK(site.all_said<SecAggLetter>().size() == 1);
}
