#include "coordinator/service/durable_state.h"

#include "tests/coordinator/service/sample_state.h"

using namespace covey;
namespace fs = std::filesystem;

namespace {

std::string newest_log(const std::string& db) {
  std::string newest;
  for (const auto& entry : fs::directory_iterator(db))
    if (entry.path().extension() == ".log" && entry.file_size() > 0) newest = std::max(newest, entry.path().string());
  REQUIRE_FALSE(newest.empty());
  return newest;
}

struct Lines final : Log {
  void write(const LogEntry& entry) override { entries.push_back(entry); }
  std::vector<LogEntry> entries;
};

}  // namespace

TEST_CASE("durable state: a damaged log is refused with the remedy; point-in-time keeps what lies before, and is judged") {
  const TemporaryFolder folder;
  SampleState state(folder.path());
  state.release("one");
  Batch plain;
  plain.put("journal/0000000000000001", Bytes(1000, 1));
  REQUIRE(state.store().write(plain));
  Batch more;
  more.put("journal/0000000000000002", Bytes(1000, 2));
  REQUIRE(state.store().write(more));
  StateOptions options = state.options();
  bool promised_lost = false;
  SUBCASE("the damage lies behind the last promise") {}
  SUBCASE("a promise lies behind the damage") {
    state.release("two");
    promised_lost = true;
  }
  state.close();
  const std::string log_file = newest_log(state.data() + "/db");
  const auto bytes = fs::file_size(log_file);
  // Into the journal's first row, of about a thousand bytes each.
  turn_bit(log_file, promised_lost ? bytes / 2 : bytes - 1500);
  const auto strict = state.try_open(options);
  REQUIRE_FALSE(strict);
  CHECK(strict.error().code == ErrorCode::kCorrupted);
  CHECK(strict.error().message.find("--recover point-in-time") != std::string::npos);
  CHECK(strict.error().message.find("covey restore") != std::string::npos);

  options.recovery = Recovery::kPointInTime;
  Lines log;
  const auto opened = open_state(options, log);
  REQUIRE_FALSE(log.entries.empty());
  CHECK(log.entries[0].event == "recover_point_in_time");
  CHECK(log.entries[0].level == LogLevel::kWarning);
  if (!promised_lost) {
    if (!opened) MESSAGE(opened.error().message);
    REQUIRE(opened);
    CHECK(opened->store->scan(kLedgerTable)->size() == 1);
    CHECK(opened->store->scan("journal/")->size() < 2);
    return;
  }
  REQUIRE_FALSE(opened);
  CHECK(opened.error().code == ErrorCode::kCorrupted);
  CHECK_FALSE(state.try_open(state.options()).has_value());  // nothing was changed: strict refuses as before
}

TEST_CASE("durable state: a log that was cut after a promise is refused") {
  const TemporaryFolder folder;
  SampleState state(folder.path());
  state.release("one");
  state.release("two");
  state.close();
  const std::string log = newest_log(state.data() + "/db");
  const auto size = fs::file_size(log);
  for (const std::uintmax_t cut : {std::uintmax_t{1}, size / 4, size / 2, size - 1}) {
    CAPTURE(cut);
    fs::copy(state.data(), folder / "kept", fs::copy_options::recursive);
    fs::resize_file(log, size - cut);
    const auto refused = state.try_open(state.options());
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::kCorrupted);
    fs::remove_all(state.data());
    fs::rename(folder / "kept", state.data());
  }
  state.open();
  CHECK(state.store().scan(kLedgerTable)->size() == 2);
}

TEST_CASE("durable state: a value that a row names must be there, one that none names goes") {
  const TemporaryFolder folder;
  SampleState state(folder.path());
  state.release("one");
  const BlobRef orphan = *state.blobs().put(bytes_of("orphan"));
  const Digest named = *blobs_in_rows(*state.store().scan("model/"))->begin();
  state.close();
  state.open();
  CHECK_FALSE(state.blobs().has(orphan.id));
  CHECK(state.blobs().has(named));
  REQUIRE(state.blobs().erase(named));
  state.close();
  const auto refused = state.try_open(state.options());
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::kCorrupted);
  CHECK(refused.error().message.find(short_hex(named)) != std::string::npos);
}

TEST_CASE("durable state: a store that lost its CURRENT file is not taken for a new one") {
  const TemporaryFolder folder;
  SampleState state(folder.path());
  state.release("one");
  state.close();
  fs::remove(state.data() + "/db/CURRENT");
  fs::remove(state.mark());  // so that only the store itself can tell
  const auto refused = state.try_open(state.options());
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::kCorrupted);
}

TEST_CASE("durable state: where nobody can tell whether there is a store, nobody is told to restore one") {
  const TemporaryFolder folder;
  SampleState state(folder.path());
  state.release("one");
  state.close();
  fs::rename(state.data(), folder / "aside");
  fs::create_symlink(state.data(), state.data());  // leads to itself: as unreadable as a folder of another user
  const auto refused = state.try_open(state.options());
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code != ErrorCode::kCorrupted);
  CHECK(refused.error().message.find(state.data() + "/db/CURRENT") == 0);
}

TEST_CASE("durable state: a start that is refused leaves nothing where nothing was") {
  const TemporaryFolder folder;
  SampleState state(folder.path());
  state.release("one");
  state.close();
  fs::remove_all(state.data());
  const auto behind = state.try_open(state.options());
  REQUIRE_FALSE(behind);
  CHECK(behind.error().message.find("behind its mark") != std::string::npos);
  CHECK_FALSE(fs::exists(state.data()));
  StateOptions elsewhere = state.options();
  elsewhere.mark = folder / "no-such-disk/covey.mark";
  const auto lost = state.try_open(elsewhere);
  REQUIRE_FALSE(lost);
  CHECK(lost.error().message.find(folder / "no-such-disk") != std::string::npos);
  CHECK_FALSE(fs::exists(state.data()));
}
