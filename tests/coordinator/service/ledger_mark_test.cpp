#include "coordinator/service/ledger_mark.h"

#include <filesystem>
#include <fstream>

#include "tests/coordinator/service/sample_state.h"

using namespace covey;
namespace fs = std::filesystem;

namespace {

// Where the slot that holds the newest mark begins.
std::size_t newest_slot(const std::string& path) {
  std::ifstream file(path);
  std::string words[2];
  std::uint64_t turns[2] = {};
  for (std::size_t i = 0; i < 2; ++i) {
    file.seekg(static_cast<std::streamoff>(i * kSlotBytes));
    file >> words[i] >> turns[i];
  }
  REQUIRE(words[1] == "covey-slot-v1");
  return turns[1] > turns[0] ? kSlotBytes : 0;
}

}  // namespace

TEST_CASE("ledger mark: its text comes back, and no other text does") {
  LedgerMark mark{{12, Digest{{1, 2, 3}}}, 5, 1234};
  const std::string text = text_of(mark);
  CHECK(*mark_from_text(text) == mark);
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::string other = text;
    other[i] = static_cast<char>(other[i] ^ 1);
    CAPTURE(i);
    CHECK_FALSE(mark_from_text(other).has_value());
    CHECK_FALSE(mark_from_text(text.substr(0, i)).has_value());
  }
  CHECK_FALSE(mark_from_text(text + "x").has_value());
}

TEST_CASE("ledger mark: it follows each promise before the write returns, and nothing else") {
  const TemporaryFolder folder;
  SampleState state(folder.path());
  CHECK((*load_mark(state.mark()))->mark.ledger.sequence == 0);
  state.start(3);
  CHECK((*load_mark(state.mark()))->mark.epoch == 3);
  state.release("one");
  const LedgerMark one = (*load_mark(state.mark()))->mark;
  CHECK(one.ledger == state.head());
  CHECK(one.sequence > 0);
  Batch plain;
  plain.put("journal/0000000000000001", {1});
  REQUIRE(state.store().write(plain));
  CHECK((*load_mark(state.mark()))->mark == one);
  state.release("two");
  CHECK((*load_mark(state.mark()))->mark.ledger.sequence == 2);
}

TEST_CASE("ledger mark: the ledger only grows, by one chain") {
  const TemporaryFolder folder;
  SampleState state(folder.path());
  state.release("one");
  const Bytes first = **state.store().get(ledger_key(1));
  const auto refused = [&](const Batch& batch) {
    const auto written = state.store().write(batch);
    return !written && written.error().code == ErrorCode::kInternal && state.store().scan(kLedgerTable)->size() == 1;
  };
  Batch again;
  again.put(ledger_key(1), first);
  CHECK(refused(again));
  Batch elsewhere;
  elsewhere.put(ledger_key(2), first);
  CHECK(refused(elsewhere));
  Batch gone;
  gone.erase(ledger_key(1));
  CHECK(refused(gone));
  state.release("two");
  CHECK(state.store().scan(kLedgerTable)->size() == 2);
}

TEST_CASE("ledger mark: a mark that cannot be saved fails the write, and the store is sound afterwards") {
  const TemporaryFolder folder;
  SampleState state(folder.path());
  state.release("one");
  const std::string mark = state.mark();
  fs::remove(mark);
  fs::create_directory(mark);  // a rename cannot replace it
  Batch epoch;
  epoch.put(std::string(kEpochRow), epoch_value(9));
  CHECK_FALSE(state.store().write(epoch).has_value());
  state.close();
  fs::remove(mark);
  StateOptions options = state.options();
  options.missing_mark = MissingMark::kAccept;
  const auto opened = state.try_open(options);
  REQUIRE(opened);
  CHECK((*load_mark(mark))->mark.epoch == 9);
}

TEST_CASE("durable state: a mark behind the store is brought up; one ahead refuses") {
  const TemporaryFolder folder;
  SampleState state(folder.path());
  state.start(1);
  state.release("one");
  const std::string old_mark = folder / "old.mark";
  fs::copy_file(state.mark(), old_mark);
  state.release("two");
  state.close();

  SUBCASE("behind, as after a crash between the write and the mark") {
    fs::copy_file(old_mark, state.mark(), fs::copy_options::overwrite_existing);
    state.open();
    CHECK((*load_mark(state.mark()))->mark.ledger == state.head());
  }
  SUBCASE("missing") {
    fs::remove(state.mark());
    const auto refused = state.try_open(state.options());
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::kCorrupted);
    CHECK(refused.error().message.find("--accept-missing-mark") != std::string::npos);
    CHECK_FALSE(file_exists(state.mark()));
  }
  SUBCASE("of an older version: the text alone") {
    std::ofstream(state.mark(), std::ios::trunc) << text_of((*load_mark(old_mark))->mark);
    CHECK((*load_mark(state.mark()))->whole);
    state.open();
    CHECK((*load_mark(state.mark()))->mark.ledger == state.head());
    CHECK(fs::file_size(state.mark()) == 2 * kSlotBytes);
  }
  SUBCASE("of an older version, damaged") {
    std::ofstream(state.mark(), std::ios::trunc) << text_of((*load_mark(old_mark))->mark);
    turn_bit(state.mark(), 40);
    CHECK_FALSE(state.try_open(state.options()));
  }
  SUBCASE("torn, as after a crash within its write: the store is newer than what stands") {
    turn_bit(state.mark(), newest_slot(state.mark()) + 40);
    CHECK((*load_mark(state.mark()))->mark == (*load_mark(old_mark))->mark);
    state.open();
    CHECK((*load_mark(state.mark()))->mark.ledger == state.head());
    CHECK((*load_mark(state.mark()))->whole);
  }
  SUBCASE("one slot damaged at rest: the store is no newer than the other") {
    turn_bit(state.mark(), kSlotBytes - newest_slot(state.mark()) + 40);
    const auto refused = state.try_open(state.options());
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::kCorrupted);
    CHECK(refused.error().message.find("one of its two slots") != std::string::npos);
  }
  SUBCASE("damaged") {
    turn_bit(state.mark(), 40);
    turn_bit(state.mark(), kSlotBytes + 40);
    const auto refused = state.try_open(state.options());
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::kCorrupted);
    CHECK(refused.error().message.find(state.mark()) == 0);
  }
  const auto marked = [&](LedgerMark mark) {
    REQUIRE(save_mark(state.mark(), mark));
    const auto refused = state.try_open(state.options());
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::kCorrupted);
    CHECK(refused.error().message.find("covey restore") != std::string::npos);
    return refused.error().message;
  };
  const LedgerMark now = (*load_mark(old_mark))->mark;
  SUBCASE("ahead by ledger") { CHECK(marked({{3, Digest{{1}}}, 1, 1}).find("ends with record 2") != std::string::npos); }
  SUBCASE("of another ledger") { CHECK(marked({{2, Digest{{1}}}, 1, 1}).find("is another") != std::string::npos); }
  SUBCASE("ahead by epoch") { CHECK(marked({now.ledger, 2, 1}).find("epoch is 1") != std::string::npos); }
  SUBCASE("ahead by one row") { CHECK(marked({now.ledger, 1, 1000}).find("last write") != std::string::npos); }
}
