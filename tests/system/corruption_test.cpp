// Bit flips and truncations in every kind of file of a store that the real coordinator wrote and was
// killed on: a start is refused, or every ledger and model row is there. Never a silent loss.
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>

#include "coordinator/coordinator.h"
#include "coordinator/service/durable_state.h"
#include "coordinator/service/home.h"
#include "coordinator/tables.h"
#include "core/base/file.h"
#include "core/base/random.h"
#include "core/protocol/audit.h"
#include "tests/system/federation.h"
#include "tests/system/figure_line.h"

using namespace covey;
using namespace covey::system_test;
namespace fs = std::filesystem;

namespace {

enum class Kind { kLog, kTable, kManifest, kCurrent, kBlob };

bool is_kind(Kind kind, const fs::path& path) {
  const std::string name = path.filename().string();
  const bool blob = path.string().find("/blobs/blobs/") != std::string::npos;
  switch (kind) {
    case Kind::kLog: return name.ends_with(".log");
    case Kind::kTable: return name.ends_with(".sst");
    case Kind::kManifest: return name.starts_with("MANIFEST-");
    case Kind::kCurrent: return name == "CURRENT";
    case Kind::kBlob: return blob && !name.ends_with(".chunks");
  }
  return false;
}

std::vector<std::string> files_of(Kind kind, const std::string& data) {
  std::vector<std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(data))
    if (entry.is_regular_file() && entry.file_size() > 0 && is_kind(kind, entry.path())) files.push_back(entry.path().string());
  std::sort(files.begin(), files.end());
  return files;
}

void damage(const std::string& path, Random& random) {
  const auto size = fs::file_size(path);
  if (random.below(2) == 0) {
    fs::resize_file(path, random.below(size));
    return;
  }
  const std::uint64_t at = random.below(size);
  const auto file = *open_file(path, OpenMode::kReadWrite);
  Bytes byte(1);
  REQUIRE(*read_at(file, at, byte, path) == 1);
  byte[0] = static_cast<std::uint8_t>(byte[0] ^ (1U << random.below(8)));
  REQUIRE(write_at(file, at, byte, path));
}

// What the coordinator let out before it was killed: its log says a round is committed only when that
// is durable. Whatever came after may have been cut off by the kill itself.
struct Shown {
  JobId job = 0;             // the one in progress
  std::uint64_t rounds = 0;  // of it, logged as committed
};

std::set<std::string> acknowledged(const std::vector<Row>& rows, const Shown& shown) {
  std::set<std::string> keys{std::string(kEpochRow)};
  std::uint64_t audits = 0, releases = 0;
  for (const Row& row : rows) {
    if (!row.key.starts_with(kAuditTable)) continue;
    const auto record = decode_chain_record(row.value);
    REQUIRE(record);
    const auto act = decode_audit_entry(record->body);
    REQUIRE(act);
    if (act->kind != AuditKind::kReleased || (act->round.job == shown.job && act->round.round > shown.rounds)) continue;
    audits = record->sequence;
    releases = act->number;
  }
  for (std::uint64_t i = 1; i <= audits; ++i) keys.insert(audit_key(i));
  for (std::uint64_t i = 1; i <= releases; ++i) keys.insert(ledger_key(i));
  for (const Row& row : rows) {
    if (!row.key.starts_with("model/")) continue;
    const auto parts = key_parts(row.key);
    if (*number_in_key(parts[1]) != shown.job || *number_in_key(parts[2]) <= shown.rounds) keys.insert(row.key);
  }
  return keys;
}

// As the coordinator's main does.
Result<DurableState> start(const std::string& folder) {
  NullLog log;
  COVEY_TRY(DurableState state, open_state({folder, default_mark_path(folder)}, log));
  COVEY_TRY(CoordinatorHome home, load_coordinator_home(folder));
  CoordinatorConfig config;
  config.authority = home.address.authority;
  config.record_key = home.record;
  config.operators = home.operators;
  COVEY_TRY_VOID(Coordinator::create(config, state.rows));
  return state;
}

struct Tally {
  int refused = 0, whole = 0, told_when_read = 0, others_lost = 0, silent = 0;
};

void judge(const std::string& folder, const std::map<std::string, Bytes>& before, const std::set<std::string>& promised,
           Tally& tally) {
  const auto state = start(folder);
  if (!state) {
    CHECK_FALSE(state.error().message.empty());
    ++tally.refused;
    return;
  }
  std::map<std::string, Bytes> after;
  for (const Row& row : state->rows) after[row.key] = row.value;
  bool others = false, lost = false, told = false;
  for (const auto& [key, value] : before) {
    const auto at = after.find(key);
    if (at != after.end() && at->second == value) continue;
    (promised.contains(key) ? lost : others) = true;
  }
  const std::set<Digest> needed = *blobs_needed(state->rows);
  for (const Digest& id : needed) {
    const auto value = state->blobs->get(id);  // verified: the right bytes or an error
    told = told || !value;
    if (!value) CHECK(value.error().code == ErrorCode::kCorrupted);
  }
  ++(lost ? tally.silent : told ? tally.told_when_read : others ? tally.others_lost : tally.whole);
}

// A home whose coordinator was killed twice: tables, a log with a round in progress, blobs.
Shown make_state(Federation& federation) {
  federation.start_all();
  const JobId first = federation.submit({.rounds = 3, .min_clients = 2});
  REQUIRE(federation.await_end(first) == "job_finished");
  federation.nursery().kill(federation.coordinator());
  federation.start_coordinator();  // which makes tables of the log
  const JobId second = federation.submit({.rounds = 40, .min_clients = 2, .name = "long"});
  const auto deep = [&] {
    const LogLine* line = federation.coordinator().last("round_committed");
    return line != nullptr && line->number("job") == second && line->number("round") >= 3;
  };
  REQUIRE(federation.until([&] { return deep(); }, 30));
  federation.nursery().kill(federation.coordinator());
  fs::remove(federation.home() + "/coordinator/backup.sock");  // no file to copy
  Shown shown{second, 0};
  for (const LogLine& line : federation.coordinator().lines())
    if (line.event == "round_committed" && line.number("job") == second) shown.rounds = std::max(shown.rounds, line.number("round"));
  return shown;
}

}  // namespace

TEST_CASE("corruption: no flip or truncation of any file loses a ledger or model row unseen") {
  const int wanted = std::getenv("COVEY_SLOW") != nullptr ? 300 : 75;
  Federation federation(2);
  const Shown shown = make_state(federation);
  const std::string folder = federation.home() + "/coordinator";
  const std::string copy = federation.folder() + "/copy";
  const auto contents = read_rocks_store(folder + "/data/db", Recovery::kStrict);
  REQUIRE(contents);
  std::map<std::string, Bytes> before;
  for (const Row& row : contents->rows) before[row.key] = row.value;
  const std::set<std::string> promised = acknowledged(contents->rows, shown);
  REQUIRE(promised.contains(ledger_key(3 + shown.rounds)));

  fs::copy(folder, copy, fs::copy_options::recursive);
  Tally undamaged;
  judge(copy, before, promised, undamaged);
  REQUIRE(undamaged.whole == 1);

  std::map<Kind, Tally> tallies;
  Random random(16);
  int done = 0;
  for (; done < wanted; ++done) {
    const auto kind = static_cast<Kind>(done % 5);
    fs::remove_all(copy);
    fs::copy(folder, copy, fs::copy_options::recursive);
    const std::vector<std::string> files = files_of(kind, copy + "/data");
    REQUIRE_FALSE(files.empty());
    damage(files[random.below(files.size())], random);
    judge(copy, before, promised, tallies[kind]);
  }
  Tally all;
  const std::map<Kind, std::string> names{{Kind::kLog, "wal"}, {Kind::kTable, "sst"}, {Kind::kManifest, "manifest"}, {Kind::kCurrent, "current"}, {Kind::kBlob, "blob"}};
  for (const auto& [kind, tally] : tallies) {
    MESSAGE(names.at(kind) << ": refused " << tally.refused << ", whole " << tally.whole << ", told when read "
                           << tally.told_when_read << ", other rows lost " << tally.others_lost << ", silent " << tally.silent);
    all.refused += tally.refused;
    all.whole += tally.whole;
    all.told_when_read += tally.told_when_read;
    all.others_lost += tally.others_lost;
    all.silent += tally.silent;
  }
  CHECK(all.silent == 0);
  CHECK(all.refused > wanted / 4);  // the damage is real
  figure("corruption_cases", done);
  figure("corruption_silent", all.silent);
  figure("corruption_refused", all.refused);
  figure("corruption_whole", all.whole);
  figure("corruption_told_when_read", all.told_when_read);
  figure("corruption_other_rows_lost", all.others_lost);
}

TEST_CASE("corruption: without the mark, some of these would be silent; with it, no recovery is") {
  // The twin that shows what the mark is for: the same truncations of the log, judged by the store alone.
  Federation federation(2);
  make_state(federation);
  const std::string folder = federation.home() + "/coordinator";
  const auto contents = read_rocks_store(folder + "/data/db", Recovery::kStrict);
  REQUIRE(contents);
  const std::string log = files_of(Kind::kLog, folder + "/data").back();
  const auto size = fs::file_size(log);
  int silent = 0;
  for (int i = 1; i <= 8; ++i) {
    const std::string copy = federation.folder() + "/copy" + std::to_string(i);
    fs::copy(folder + "/data/db", copy, fs::copy_options::recursive);
    fs::resize_file(copy + "/" + fs::path(log).filename().string(), size * static_cast<unsigned>(i) / 10);
    const auto shortened = read_rocks_store(copy, Recovery::kStrict);
    if (shortened && mark_of_rows(shortened->rows, 0, 0)->now.ledger.sequence < mark_of_rows(contents->rows, 0, 0)->now.ledger.sequence) ++silent;
  }
  CHECK(silent > 0);
  figure("corruption_silent_without_mark", silent);
  figure("corruption_truncations_without_mark", 8);

  // The programs say the same: strict refuses a flip in the log, and what point-in-time would keep is
  // refused for its mark.
  const auto file = *open_file(log, OpenMode::kReadWrite);
  Bytes byte(1);
  REQUIRE(*read_at(file, size / 3, byte, log) == 1);
  byte[0] ^= 1;
  REQUIRE(write_at(file, size / 3, byte, log));
  const Process& strict = federation.nursery().run(federation.coordinator_launch());
  CHECK(strict.code() == 7);
  CHECK(strict.says("--recover point-in-time"));
  Launch launch = federation.coordinator_launch();
  launch.arguments.insert(launch.arguments.end(), {"--recover", "point-in-time"});
  const Process& judged = federation.nursery().run(launch);
  CHECK(judged.code() == 7);
  CHECK(judged.has("recover_point_in_time"));
  CHECK(judged.says("behind its mark"));
}
