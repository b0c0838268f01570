#include "coordinator/service/backup.h"

#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <thread>

#include "coordinator/job_floor.h"
#include "coordinator/service/backup_desk.h"
#include "coordinator/service/restore.h"
#include "core/service/text_file.h"
#include "tests/coordinator/service/sample_state.h"

using namespace covey;
namespace fs = std::filesystem;

namespace {

const std::atomic<bool> kNever = false;

SigningKey record_key() { return SigningKey::from_seed(Secret<32>()); }

RestoreRequest restore_of(const std::string& backup, const std::string& folder) {
  return {backup, folder, default_mark_path(folder), PeerKey{{7}}, Rollback::kRefuse, instant_of_nanos(1'700'000'100'000'000'000)};
}

std::vector<Row> without_act(std::vector<Row> rows) {
  std::erase_if(rows, [](const Row& row) { return row.key == kEpochRow || row.key == kJobFloorRow || row.key.starts_with(kAuditTable); });
  return rows;
}

ErrorCode code_of(const Result<BackupManifest>& result) {
  REQUIRE_FALSE(result);
  return result.error().code;
}

}  // namespace

TEST_CASE("backup: what a running store held at one moment, whole, and verified") {
  const TemporaryFolder folder;
  SampleState state(folder / "home");
  state.start(4);
  state.release("one");
  state.release("two");
  const std::string to = folder / "backup";
  const auto made = take_backup(state.plan(to), state.store(), kNever);
  REQUIRE(made);
  CHECK(made->mark.ledger == state.head());
  CHECK(made->mark.epoch == 4);
  const auto verified = verify_backup(to);
  if (!verified) MESSAGE(verified.error().message);
  REQUIRE(verified);
  CHECK(verified->mark == made->mark);
  CHECK(verified->bytes() == made->bytes());
  CHECK(verify_backup(to).has_value());  // verifying leaves nothing behind
  CHECK(read_rocks_store(to + "/db", Recovery::kStrict)->rows == *state.store().scan(""));
  CHECK_FALSE(fs::exists(state.data() + "/backup.tmp"));
  CHECK_FALSE(fs::exists(to + ".partial"));
  state.release("three");  // and the store goes on
  CHECK(verify_backup(to)->mark == made->mark);
}

TEST_CASE("backup: only what its rows name is in it, and values shared or copied as asked") {
  const TemporaryFolder folder;
  SampleState state(folder / "home");
  state.release("one");
  REQUIRE(state.blobs().put(bytes_of("nobody names this")));
  BackupPlan plan = state.plan(folder / "backup");
  nlink_t links = 0;
  SUBCASE("second names") { links = 2; }
  SUBCASE("copies") {
    plan.mode = CopyMode::kCopy;
    links = 1;
  }
  const auto made = take_backup(plan, state.store(), kNever);
  REQUIRE(made);
  std::size_t blobs = 0;
  for (const BackupFile& file : made->files) {
    if (!file.path.starts_with("blobs/") || file.path.ends_with(".chunks")) continue;
    ++blobs;
    struct stat status{};
    REQUIRE(::stat((plan.destination + "/" + file.path).c_str(), &status) == 0);
    CHECK(status.st_nlink == links);
  }
  CHECK(blobs == 1);
}

TEST_CASE("restore: the numbers of jobs that were lost are not given again") {
  const Instant taken = instant_of_nanos(1'000'000'000), now = instant_of_nanos(91'000'000'000);
  CHECK(*job_floor_after({}, taken, now) == 1090);
  const Row job{job_spec_key(7), {}};
  const JobId first = *job_floor_after({job}, taken, now);
  CHECK(first == 1097);
  CHECK(*job_floor_after({job}, now, taken) == 1007);  // a clock that was put back
  CHECK(*job_floor_after({job, {std::string(kJobFloorRow), job_floor_value(first)}}, now, now) == 2097);
  CHECK(*job_floor_of_value(job_floor_value(first)) == first);
  Bytes cut = job_floor_value(first);
  cut.pop_back();
  CHECK(job_floor_of_value(cut).error().code == ErrorCode::kCorrupted);
  CHECK(!job_floor_of_value(job_floor_value(0)));
  CHECK(!job_floor_of_value(job_floor_value(~JobId{0})));
  CHECK(job_floor_after({{std::string(kJobFloorRow), cut}}, taken, now).error().message.find("jobfloor") != std::string::npos);
}

TEST_CASE("backup: a place that is taken, or within what is saved, is refused") {
  const TemporaryFolder folder;
  SampleState state(folder / "home");
  state.release("one");
  fs::create_directories(folder / "full/inner");
  CHECK(code_of(take_backup(state.plan(folder / "full"), state.store(), kNever)) == ErrorCode::kAlreadyExists);
  CHECK(code_of(take_backup(state.plan(state.data() + "/b"), state.store(), kNever)) == ErrorCode::kInvalidArgument);
  const std::atomic<bool> stopping = true;
  CHECK(code_of(take_backup(state.plan(folder / "b"), state.store(), stopping)) == ErrorCode::kUnavailable);
  CHECK_FALSE(fs::exists(folder / "b.partial"));
  CHECK(code_of(take_backup_at_rest(state.plan(folder / "b"))) == ErrorCode::kUnavailable);  // it runs
  CHECK(take_backup(state.plan(folder / "b"), state.store(), kNever));
}

// A manifest of what was read proves the copy, not the value: that is named by its content.
TEST_CASE("backup: a value that is damaged where it lies is not saved as if it were sound") {
  const TemporaryFolder folder;
  SampleState state(folder / "home");
  state.release("one");
  const std::string to = folder / "backup";
  BackupPlan plan = state.plan(folder / "sound");
  plan.mode = CopyMode::kCopy;
  REQUIRE(take_backup(plan, state.store(), kNever));
  std::string name;
  for (const auto& entry : fs::recursive_directory_iterator(state.data() + "/blobs/blobs")) {
    if (!entry.is_regular_file() || entry.path().extension() == ".chunks") continue;
    fs::permissions(entry.path(), fs::perms::owner_write, fs::perm_options::add);
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    const int byte = file.get();
    file.seekp(0);
    file.put(static_cast<char>(byte ^ 1));
    name = entry.path().filename().string();
  }
  REQUIRE(!name.empty());
  const auto made = take_backup(state.plan(to), state.store(), kNever);
  REQUIRE_FALSE(made);
  CHECK(made.error().code == ErrorCode::kCorrupted);
  CHECK(made.error().message.find("its bytes do not make blob") != std::string::npos);
  CHECK(made.error().message.find("covey backup --verify") != std::string::npos);
  CHECK_FALSE(fs::exists(to));
  CHECK_FALSE(fs::exists(to + ".partial"));
  CHECK(verify_backup(folder / "sound"));  // of before
}

// As a version before this one made them: the manifest has the hash of the damaged bytes.
TEST_CASE("backup: a damaged value that its manifest vouches for does not verify") {
  const TemporaryFolder folder;
  SampleState state(folder / "home");
  state.release("one");
  const std::string to = folder / "backup";
  BackupPlan plan = state.plan(to);
  plan.mode = CopyMode::kCopy;
  auto made = take_backup(plan, state.store(), kNever);
  REQUIRE(made);
  const auto value = std::find_if(made->files.begin(), made->files.end(), [](const BackupFile& file) {
    return file.path.starts_with("blobs/") && !file.path.ends_with(".chunks");
  });
  REQUIRE(value != made->files.end());
  const std::string path = to + "/" + value->path;
  fs::permissions(path, fs::perms::owner_write, fs::perm_options::add);
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  const int byte = file.get();
  file.seekp(0);
  file.put(static_cast<char>(byte ^ 1));
  file.close();
  const auto hashed = hash_of_file(path);
  REQUIRE(hashed);
  value->content = *hashed;
  REQUIRE(write_file(to + "/" + kManifestName, bytes_of(text_of(*made))));
  const auto verified = verify_backup(to);
  REQUIRE_FALSE(verified);
  CHECK(verified.error().code == ErrorCode::kCorrupted);
  CHECK(verified.error().message.find(path) != std::string::npos);
  CHECK(verified.error().message.find("damaged before it was saved") != std::string::npos);
}

TEST_CASE("backup: any change to any of its files is found") {
  const TemporaryFolder folder;
  SampleState state(folder / "home");
  state.release("one");
  const std::string to = folder / "backup";
  BackupPlan plan = state.plan(to);
  plan.mode = CopyMode::kCopy;
  REQUIRE(take_backup(plan, state.store(), kNever));
  const std::vector<std::string> files = *files_below(to);
  for (const std::string& path : files) {
    CAPTURE(path);
    const auto size = fs::file_size(to + "/" + path);
    REQUIRE(size > 0);
    turn_bit(to + "/" + path, size / 2);
    CHECK(code_of(verify_backup(to)) == ErrorCode::kCorrupted);
    turn_bit(to + "/" + path, size / 2);
    fs::rename(to + "/" + path, folder / "away");
    CHECK_FALSE(verify_backup(to).has_value());
    fs::rename(folder / "away", to + "/" + path);
  }
  CHECK(verify_backup(to).has_value());
  write_at(*open_file(to + "/db/more", OpenMode::kCreateNew), 0, bytes_of("x"), "").value();
  CHECK(code_of(verify_backup(to)) == ErrorCode::kCorrupted);
}

TEST_CASE("backup: a manifest's paths stay within it") {
  BackupManifest manifest;
  for (const char* path : {"db/../../etc/passwd", "/etc/passwd", "db/a b", "keys/x", "", "db/\x01"}) {
    manifest.files = {{path, {}}};
    CAPTURE(path);
    CHECK_FALSE(manifest_from_text(text_of(manifest)).has_value());
  }
  manifest.files = {{"db/CURRENT", {}}};
  CHECK(manifest_from_text(text_of(manifest)).has_value());
}

TEST_CASE("restore: equal to what was saved, but for its epoch and its record of the act") {
  const TemporaryFolder folder;
  SampleState state(folder / "home");
  state.start(4);
  state.release("one");
  state.release("two");
  const Withdrawals list = withdraw({}, record_key().public_key(), record_key()).value();
  Batch batch;
  batch.put(std::string(kWithdrawalsRow), withdrawals_value(list));
  REQUIRE(state.store().write(batch));
  const std::string backup = folder / "backup";
  SUBCASE("of a running coordinator") { REQUIRE(take_backup(state.plan(backup), state.store(), kNever)); }
  SUBCASE("of one at rest") {
    state.close();
    REQUIRE(take_backup_at_rest(state.plan(backup)));
    state.open();
  }
  const auto rows = *state.store().scan("");
  state.close();
  fs::rename(state.data(), folder / "lost");
  const auto restored = restore_backup(restore_of(backup, folder / "home"), record_key());
  if (!restored) MESSAGE(restored.error().message);
  REQUIRE(restored);
  CHECK_FALSE(restored->rolled_back);
  CHECK(restored->withdrawals == list);
  CHECK(restored->epoch > 1'700'000'000);
  state.open();
  const auto after = *state.store().scan("");
  CHECK(without_act(after) == without_act(rows));
  CHECK(*epoch_of_value(**state.store().get(kEpochRow)) == restored->epoch);
  CHECK(*job_floor_of_value(**state.store().get(kJobFloorRow)) == *job_floor_after(rows, restored->backup.taken, instant_of_nanos(1'700'000'100'000'000'000)));
  const auto audit = *state.store().scan(kAuditTable);
  REQUIRE(audit.size() == 1);
  ChainReader reader(kAuditChain);
  const ChainRecord record = *decode_chain_record(audit[0].value);
  CHECK(reader.follow(record, record_key().public_key()));
  const AuditEntry act = *decode_audit_entry(record.body);
  CHECK(act.kind == AuditKind::kRestored);
  CHECK(act.number == 4);
  const std::set<Digest> named = *blobs_in_rows(after);
  for (const Digest& id : named) CHECK(state.blobs().get(id).has_value());
}

TEST_CASE("restore: what was released since is not forgotten unless that is accepted") {
  const TemporaryFolder folder;
  SampleState state(folder / "home");
  state.start(4);
  state.release("one");
  const std::string backup = folder / "backup";
  REQUIRE(take_backup(state.plan(backup), state.store(), kNever));
  state.start(9);
  state.release("two");
  const std::uint64_t epoch = 9;
  state.close();
  RestoreRequest request = restore_of(backup, folder / "home");
  const auto refusal = [&] {
    const auto refused = restore_backup(request, record_key());
    REQUIRE_FALSE(refused);
    return refused.error();
  };
  CHECK(refusal().code == ErrorCode::kAlreadyExists);  // data is there
  fs::rename(state.data(), folder / "lost");
  request.coordinator = PeerKey{{8}};
  CHECK(refusal().code == ErrorCode::kPermissionDenied);
  request.coordinator = PeerKey{{7}};

  SUBCASE("the mark is ahead") { CHECK(refusal().message.find("had 2 records, the backup has 1") != std::string::npos); }
  SUBCASE("the mark is missing") {
    fs::remove(state.mark());
    CHECK(refusal().message.find("is missing") != std::string::npos);
  }
  SUBCASE("the mark has a damaged slot, so what it held last is not known") {
    // Turn 3, the second release, lies in the odd slot; the even one says what the backup says.
    turn_bit(state.mark(), kSlotBytes + 40);
    CHECK(refusal().message.find("two slots") != std::string::npos);
  }
  CHECK(refusal().message.find("--accept-rollback") != std::string::npos);
  CHECK_FALSE(fs::exists(state.data()));
  request.rollback = Rollback::kAccept;
  const auto restored = restore_backup(request, record_key());
  REQUIRE(restored);
  CHECK(restored->rolled_back);
  CHECK(restored->epoch > epoch + 1000);
  CHECK((*load_mark(state.mark()))->mark.ledger.sequence == 1);
  CHECK(state.try_open(state.options()).has_value());
}

TEST_CASE("restore: takes the place of a data folder that was never written to, and of no other") {
  const TemporaryFolder folder;
  SampleState state(folder / "home");
  state.start(4);
  state.release("one");
  const std::string backup = folder / "backup";
  REQUIRE(take_backup(state.plan(backup), state.store(), kNever));
  state.close();
  fs::copy_file(state.mark(), folder / "mark");
  fs::rename(state.data(), folder / "lost");
  fs::remove(state.mark());
  state.open();  // a start that got no further, its port being taken, say
  const auto restore = [&] { return restore_backup(restore_of(backup, folder / "home"), record_key()); };
  const auto refusal = [&] {
    const auto refused = restore();
    REQUIRE_FALSE(refused);
    return refused.error();
  };
  CHECK(refusal().code == ErrorCode::kAlreadyExists);  // it is in use
  CHECK(refusal().message.find("in use") != std::string::npos);
  state.close();
  SUBCASE("its empty mark tells nothing of what was released") {
    CHECK(refusal().code == ErrorCode::kPermissionDenied);
    CHECK(refusal().message.find("wrote nothing") != std::string::npos);
    fs::copy_file(folder / "mark", state.mark(), fs::copy_options::overwrite_existing);
    const auto restored = restore();
    if (!restored) MESSAGE(restored.error().message);
    REQUIRE(restored);
    CHECK_FALSE(restored->rolled_back);
    CHECK(state.try_open(state.options()).has_value());
    CHECK_FALSE(fs::exists(folder / "home/data.unused"));
  }
  SUBCASE("a row is in it") {
    state.open();
    state.start(1);
    state.close();
    CHECK(refusal().code == ErrorCode::kAlreadyExists);
    CHECK(state.try_open(state.options()).has_value());
  }
  SUBCASE("a file that is not ours is in it") {
    REQUIRE(open_file(state.data() + "/notes", OpenMode::kCreateNew));
    CHECK(refusal().code == ErrorCode::kAlreadyExists);
    CHECK(fs::exists(state.data() + "/notes"));
  }
}

TEST_CASE("restore: one at a time, and a mistyped backup is said before anything else") {
  const TemporaryFolder folder;
  SampleState state(folder / "home");
  state.release("one");
  const std::string backup = folder / "backup";
  REQUIRE(take_backup(state.plan(backup), state.store(), kNever));
  state.close();
  const auto nowhere = restore_backup(restore_of(folder / "no-such", folder / "home"), record_key());
  REQUIRE_FALSE(nowhere);
  CHECK(nowhere.error().code == ErrorCode::kNotFound);
  fs::rename(state.data(), folder / "lost");
  {
    const auto other = FolderLock::take(folder / "home");
    REQUIRE(other);
    const auto refused = restore_backup(restore_of(backup, folder / "home"), record_key());
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::kUnavailable);
  }
  CHECK(restore_backup(restore_of(backup, folder / "home"), record_key()).has_value());
}

TEST_CASE("restore: a stale copy of the store is refused by its mark") {
  const TemporaryFolder folder;
  SampleState state(folder / "home");
  state.start(1);
  state.release("one");
  state.close();
  fs::copy(state.data(), folder / "stale", fs::copy_options::recursive);
  state.open();
  state.release("two");
  state.close();
  fs::remove_all(state.data());
  fs::rename(folder / "stale", state.data());
  const auto refused = state.try_open(state.options());
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::kCorrupted);
  fs::remove_all(state.data());  // as is none at all
  CHECK_FALSE(state.try_open(state.options()).has_value());
}

TEST_CASE("backup desk: answers whoever may read the folder, and keeps as many as it is told") {
  const TemporaryFolder folder;
  SampleState state(folder / "home");
  state.release("one");
  const std::string home = folder / "home";
  REQUIRE(ask_backup(home, {}));
  CHECK_FALSE(ask_backup(home, {})->has_value());  // nobody is there
  NullLog log;
  {
    const auto desk = BackupDesk::open({home, folder / "own", 2, PeerKey{{7}}}, state.store(), log);
    REQUIRE(desk);
    const auto named = ask_backup(home, {folder / "named", CopyMode::kCopy});
    REQUIRE(named);
    REQUIRE(named->has_value());
    CHECK((*named)->folder == folder / "named");
    CHECK((*named)->ledger == 1);
    CHECK(verify_backup(folder / "named").has_value());
    CHECK(ask_backup(home, {"relative", CopyMode::kCopy}).error().code == ErrorCode::kInvalidArgument);
    CHECK(ask_backup(home, {folder / "named", CopyMode::kCopy}).error().code == ErrorCode::kAlreadyExists);
    for (const char* old : {"backup-20200101T000000Z", "backup-20210101T000000Z"}) {
      fs::create_directories(folder / "own");
      fs::copy(folder / "named", folder / (std::string("own/") + old), fs::copy_options::recursive);
    }
    fs::create_directories(folder / "own/backup-of-someone");
    const auto own = ask_backup(home, {});
    REQUIRE(own);
    CHECK((*own)->pruned == 1);
    const Instant second = from_seconds(1.8e9) + Instant{};
    CHECK(own_backup_path(folder / "own", second) == folder / "own/backup-20270115T080000Z");
    for (const char* next : {"-02", "-03"}) {
      fs::create_directories(own_backup_path(folder / "own", second));
      CHECK(own_backup_path(folder / "own", second) == folder / (std::string("own/backup-20270115T080000Z") + next));
    }
    CHECK_FALSE(fs::exists(folder / "own/backup-20200101T000000Z"));
    CHECK(fs::exists(folder / "own/backup-20210101T000000Z"));
    CHECK(fs::exists(folder / "own/backup-of-someone"));
    CHECK(verify_backup((*own)->folder).has_value());
  }
  CHECK_FALSE(ask_backup(home, {})->has_value());
}
