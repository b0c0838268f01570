// Writes the seeds of this room's fuzzers: every message of one small aggregation, and a charge of each kind.
// usage: privacy_make_corpus FOLDER (then commit FOLDER/secagg_message, FOLDER/secagg_machines, FOLDER/dp_charge)
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "privacy/dp_charge.h"
#include "tests/privacy/secagg_world.h"

using namespace covey;

namespace {

std::filesystem::path folder;

void save(const std::filesystem::path& path, const Bytes& bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}
// One of each kind, as it is and as the machines' fuzzer takes it: without the attempt's name.
void keep(const Bytes& message, std::uint8_t phase) {
  const std::string name = "kind_" + std::to_string(message.at(1));
  save(folder / "secagg_message" / name, message);
  Bytes input{phase, message[1]};
  if (message[1] > 3 && message.size() > 66) input.insert(input.end(), message.begin() + 66, message.end());
  save(folder / "secagg_machines" / name, input);
}

// One of each mechanism against q = 1, one of a drawn cohort, one that claims less than it may, and one with more noise
// than can be drawn.
void keep_charges() {
  std::filesystem::create_directories(folder / "dp_charge");
  CohortEvidence cohort;
  cohort.draw = {Digest{{1}}, Digest{{2}}, 3, std::uint64_t{1} << 63};
  for (std::uint8_t i = 0; i < 64; ++i) {
    cohort.registered.push_back(SubjectId{{i}});
    if (drawn(cohort.draw, cohort.registered.back().span())) cohort.invited.push_back(cohort.registered.back());
  }
  ReleaseTerms terms;
  terms.rounding = {.clip = 1, .grid = 1.0 / 64, .dimension = 1024};
  terms.members = terms.survivors = static_cast<std::uint32_t>(cohort.invited.size());
  terms.corrupt_max = 3;
  terms.share = *noise_share({300, terms.survivors - 4, terms.corrupt_max});
  DpCharge gaussian = *charge_for(terms, cohort);
  save(folder / "dp_charge" / "gaussian", encode(gaussian));
  gaussian.terms.share.variance.in_65536ths = (std::uint64_t{1} << 56) + 1;
  save(folder / "dp_charge" / "variance_beyond_the_sampler", encode(gaussian));
  terms.mechanism = NoiseMechanism::kSkellam;
  save(folder / "dp_charge" / "skellam", encode(*charge_for(terms, cohort)));
  terms.sampling_chance = 0.5;
  cohort.kind = CohortDraw::kPoissonBeacon;
  DpCharge sampled = *charge_for(terms, cohort);
  save(folder / "dp_charge" / "sampled", encode(sampled));
  sampled.cohort = CohortDraw::kFixedSize;
  save(folder / "dp_charge" / "fixed_size_claims_half", encode(sampled));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  folder = argv[1];
  keep_charges();
  for (const char* part : {"secagg_message", "secagg_machines"}) std::filesystem::create_directories(folder / part);
  WorldOptions options;
  options.vectors = {{"update", 8, 4}};
  SecAggWorld world(options);
  const auto all = [&](const Bytes& message, std::uint8_t phase) {
    std::vector<Bytes> said;
    keep(message, phase);
    for (std::uint32_t i = 0; i < 6; ++i) {
      const auto answers = world.act(i, message);
      if (answers) said.insert(said.end(), answers->begin(), answers->end());
    }
    return said;
  };
  const auto each = [&](const std::vector<Outgoing>& out, std::uint8_t phase) {
    std::vector<Bytes> said;
    for (const Outgoing& o : out)
      for (const std::uint32_t to : o.to) {
        keep(o.message, phase);
        const auto answers = world.act(to, o.message);
        if (answers) said.insert(said.end(), answers->begin(), answers->end());
      }
    return said;
  };
  std::vector<Outgoing> certificate;
  const auto tell = [&](const std::vector<Bytes>& said, std::uint8_t phase) {
    for (const Bytes& message : said) {
      keep(message, phase);
      auto more = world.server_->handle(message);
      if (more) certificate.insert(certificate.end(), more->begin(), more->end());
    }
  };
  tell(all(world.server_->invitation(), 0), 1);
  tell(each(*world.server_->close_joins(), 1), 2);
  tell(each(*world.server_->close_shares(), 2), 3);
  tell(each(*world.server_->close_confirmations(), 3), 4);
  for (std::uint32_t i = 0; i < 6; ++i) (void)world.arrive(i);
  tell(each(*world.server_->close_masks({}), 4), 4);
  tell(each(certificate, 4), 4);
  save(folder / "secagg_message" / "record", world.people_[0]->disk.at(0).value);
  save(folder / "secagg_message" / "config", encode(world.config_));
  keep(encode(SecAggMessage(AbortRequestMessage{world.server_->cohort()->id()})), 4);
  EvidenceMessage evidence;
  evidence.path.resize(3);
  evidence.leaves = 5;
  save(folder / "secagg_message" / "kind_14", encode(SecAggMessage(evidence)));
  SeedsRequestMessage request{world.server_->cohort()->id(), MemberSet(6)};
  request.dealers.insert(2);
  keep(encode(SecAggMessage(request)), 4);
  keep(encode(SecAggMessage(PairSeedsMessage{request.id, 1, {{2, {}}, {4, {}}}, {}})), 4);
  return 0;
}
