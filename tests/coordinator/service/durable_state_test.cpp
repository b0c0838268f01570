#include "coordinator/service/durable_state.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "core/base/file.h"
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

// Another process, of the program `name`, that has the store until it is killed.
class StoreHolder {
 public:
  StoreHolder(const std::string& store, const char* name) {
    int ready[2];
    REQUIRE(::pipe(ready) == 0);
    child_ = ::fork();
    REQUIRE(child_ >= 0);
    if (child_ == 0) {
      program_invocation_short_name = const_cast<char*>(name);
      const auto lock = FolderLock::take(store);
      const char sound = lock ? 1 : 0;
      if (::write(ready[1], &sound, 1) == 1) ::pause();
      ::_exit(0);
    }
    char sound = 0;
    REQUIRE(::read(ready[0], &sound, 1) == 1);
    ::close(ready[0]);
    ::close(ready[1]);
    REQUIRE(sound == 1);
  }
  ~StoreHolder() { end(); }
  void end() {
    if (child_ == 0) return;
    ::kill(child_, SIGKILL);
    ::waitpid(std::exchange(child_, 0), nullptr, 0);
  }

 private:
  pid_t child_ = 0;
};

struct EndsHolder final : Log {
  explicit EndsHolder(StoreHolder& of) : holder(of) {}
  void write(const LogEntry& entry) override {
    if (entry.event != "waiting_for_backup") return;
    ++waits;
    holder.end();
  }
  StoreHolder& holder;
  int waits = 0;
};

}  // namespace

TEST_CASE("durable state: a start waits for a backup that holds the store, and for nobody else") {
  const TemporaryFolder folder;
  SampleState state(folder.path());
  state.release("one");
  state.close();
  StoreHolder backup(state.data() + "/db", "covey");
  EndsHolder log(backup);
  CHECK(open_state(state.options(), log));
  CHECK(log.waits == 1);
  StoreHolder coordinator(state.data() + "/db", "covey-coordinator");
  EndsHolder unused(coordinator);
  const auto refused = open_state(state.options(), unused);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message.find("covey-coordinator") != std::string::npos);
  CHECK(unused.waits == 0);
}

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
