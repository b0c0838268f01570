// Both machines, fed with anything: a member in each of its phases, and the coordinator in each of its
// own. The first byte chooses the phase; the rest is a message, of which the fuzzer may leave out the
// attempt's name (kind byte below 128: it is put in), so that it gets past the first check. Whatever
// comes, no unmasking shares leave.
#include <cstddef>
#include <cstdint>

#include "core/base/check.h"
#include "tests/privacy/secagg_world.h"

namespace {

using namespace covey;

void never_reveals(const Result<std::vector<Bytes>>& answers) {
  if (!answers) return;
  for (const Bytes& answer : *answers) {
    const auto message = decode_secagg_message(answer);
    COVEY_CHECK(!std::holds_alternative<UnmaskMessage>(*message) && !std::holds_alternative<PairSeedsMessage>(*message));
  }
}

// [version, kind, sid and root of the world's attempt, the rest of the input]
Bytes named(const SecAggWorld& world, ByteSpan rest) {
  Bytes bytes{kSecAggVersion, rest.empty() ? std::uint8_t{0} : rest[0]};
  if (world.server_->cohort() != nullptr) {
    const AttemptId& id = world.server_->cohort()->id();
    bytes.insert(bytes.end(), id.sid.bytes.begin(), id.sid.bytes.end());
    bytes.insert(bytes.end(), id.root.bytes.begin(), id.root.bytes.end());
  }
  if (!rest.empty()) bytes.insert(bytes.end(), rest.begin() + 1, rest.end());
  return bytes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  WorldOptions options;
  options.vectors = {{"update", 8, 4}};
  SecAggWorld world(options);
  const auto nobody = [](Stop) { return std::set<std::uint32_t>{}; };
  switch (data[0] % 5) {
    case 0: break;
    case 1: world.join(); break;
    case 2: (void)world.run(nobody, Stop::kShare); break;
    case 3: (void)world.run(nobody, Stop::kConfirm); break;
    default: (void)world.run(nobody, Stop::kMask); break;
  }
  const ByteSpan rest(data + 1, size - 1);
  const Bytes message = rest[0] < 128 ? named(world, rest) : Bytes(rest.begin() + 1, rest.end());
  never_reveals(world.act(0, message));
  const auto answer = world.server_->handle(message);
  if (answer) for (const Outgoing& out : *answer) COVEY_CHECK(out.to.size() <= 6);
  COVEY_CHECK(!world.server_->can_recover());
  return 0;
}
