// Writes the seeds of the fuzzers of secure aggregation: every message of one small aggregation.
// usage: privacy_make_corpus FOLDER (then commit FOLDER/secagg_message and FOLDER/secagg_machines)
#include <cstdio>
#include <filesystem>
#include <fstream>

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

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  folder = argv[1];
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
  return 0;
}
