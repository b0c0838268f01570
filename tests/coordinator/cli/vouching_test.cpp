// Whom the operator's command signs for: the coordinator that names them is not trusted.
#include "coordinator/cli/vouching.h"

#include <doctest/doctest.h>

#include "coordinator/cli/withdrawing.h"
#include "coordinator/service/home.h"
#include "core/base/secure_random.h"
#include "core/service/text_file.h"
#include "tests/core/base/temporary_folder.h"

using namespace covey;
using namespace covey::cli;

namespace {

struct Signed {
  SystemRandom random;
  SigningKey authority = SigningKey::generate(random);

  Certificate node(const std::string& name, const SigningKey& by, Role role = Role::kClient) {
    const SigningKey one_time = SigningKey::generate(random);
    Certificate made{name, SigningKey::generate(random).public_key(), CurveKey::generate(random).public_key(), {}, {}};
    made.delegation.role = role;
    made.delegation.one_time_signing = one_time.public_key();
    sign(made.delegation, by);
    sign(made, one_time);
    return made;
  }
};

}  // namespace

TEST_CASE("vouching: a restore says that revocations are forgotten, and names a newer list that the authority's folder has") {
  Signed make;
  const auto key = [&] { return SigningKey::generate(make.random).public_key(); };
  const TemporaryFolder home;
  REQUIRE(make_folders(authority_folder(home.path()), 0700));
  CHECK(kept_withdrawals(home.path(), make.authority.public_key()).value().number == 0);
  const Withdrawals first = withdraw({}, key(), make.authority).value();
  const Withdrawals second = withdraw(first, key(), make.authority).value();
  REQUIRE(write_file(withdrawals_path(home.path()), encode(second)));
  const auto kept = kept_withdrawals(home.path(), make.authority.public_key());
  REQUIRE(kept);
  CHECK(*kept == second);
  for (const std::string& text : {forgotten_text({}, {}), forgotten_text(second, second), forgotten_text(first, *kept)})
    CHECK(text.find("`covey revoke` each once more") != std::string::npos);
  CHECK(forgotten_text(second, second).find("list") == std::string::npos);
  CHECK(forgotten_text(first, *kept).find("number 2 (epoch 1, 2 keys), is newer than the restored one, number 1") != std::string::npos);
  CHECK(forgotten_text(first, *kept).find("covey vouch --all") != std::string::npos);
  CHECK_FALSE(kept_withdrawals(home.path(), SigningKey::generate(make.random).public_key()));
}

TEST_CASE("vouching: nobody is signed for whose chain does not begin with the authority") {
  Signed make;
  const SigningKey stranger = SigningKey::generate(make.random);
  Certificate renamed = make.node("hospital-2", make.authority);
  renamed.name = "hospital-3";
  Certificate other_key = make.node("hospital-4", make.authority);
  other_key.signing = stranger.public_key();
  Certificate other_role = make.node("boss", make.authority, Role::kOperator);
  other_role.delegation.role = Role::kClient;
  const Certificate sound = make.node("hospital-1", make.authority);
  const Candidates judged = judge({sound, make.node("made-up", stranger), renamed, other_key, other_role,
                                   make.node("boss-2", make.authority, Role::kOperator)},
                                  make.authority.public_key());
  CHECK(judged.sound == std::vector<Certificate>{sound});
  REQUIRE(judged.unsound.size() == 5);
  CHECK(judged.unsound[0].find("made-up") != std::string::npos);
  CHECK(judged.unsound[4].find("operator") != std::string::npos);
}

TEST_CASE("vouching: those are meant whose name or key was given; what meant nobody is said") {
  Signed make;
  const Certificate a = make.node("hospital-1", make.authority);
  const Certificate b = make.node("hospital-2", make.authority);
  CHECK(choose({a, b}, {}).certificates == std::vector<Certificate>{a, b});
  CHECK(choose({a, b}, {"hospital-2"}).certificates == std::vector<Certificate>{b});
  CHECK(choose({a, b}, {hex(a.curve.span()).substr(0, 8), "hospital-1"}).certificates == std::vector<Certificate>{a});
  const ChosenNodes none = choose({a, b}, {hex(a.curve.span()).substr(0, 5), "hospital"});
  CHECK(none.certificates.empty());
  CHECK(none.missing.size() == 2);
}

TEST_CASE("vouching: those that are connected are told from those that are not, or are unknown") {
  Signed make;
  const Certificate here = make.node("hospital-1", make.authority);
  const Certificate away = make.node("hospital-2", make.authority);
  const Certificate unknown = make.node("hospital-3", make.authority);
  NodeSummary one, two;
  one.key = here.curve;
  one.connected = true;
  two.key = away.curve;
  const ByPresence clients = by_presence({here, away, unknown}, {one, two});
  CHECK(clients.connected == std::vector<Certificate>{here});
  CHECK(clients.away == std::vector<Certificate>{away, unknown});
}
