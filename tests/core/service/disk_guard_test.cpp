#include "core/service/disk_guard.h"

#include <doctest/doctest.h>

#include "core/service/exit_code.h"

using namespace covey;

namespace {

struct Counting final : Machine {
  Commands handle(const Event& event, Instant) override {
    if (std::holds_alternative<ShutdownRequested>(event))
      return {Send{Link{PeerKey{}, 1}, Leave{}}, Send{Link{PeerKey{}, 1}, Heartbeat{}}, Halt{0, "stopped"}};
    ++seen;
    return {SetTimer{"next", 1s}};
  }
  int seen = 0;
};

int halted_with(const Commands& commands) {
  for (const Command& command : commands)
    if (const auto* halt = std::get_if<Halt>(&command)) return halt->exit_code;
  return 0;
}

}  // namespace

TEST_CASE("disk guard: a full disk ends the process, and the machine never hears of it") {
  Counting inner;
  DiskGuard guard(inner);
  const Error full{ErrorCode::kDiskFull, "/data/blobs/ab: No space left on device"};
  CHECK(guard.handle(Started{}, Instant{}).size() == 1);
  Event event = WorkFailed{1, full};
  SUBCASE("work that could not write") {}
  SUBCASE("a transfer that could not write") { event = BlobFailed{1, full}; }
  const Commands commands = guard.handle(event, Instant{});
  CHECK(inner.seen == 1);
  REQUIRE(commands.size() == 3);  // the goodbye of a clean stop, and nothing else of it
  CHECK(std::holds_alternative<Leave>(std::get<Send>(commands[1]).message));
  CHECK(halted_with(commands) == kExitNoSpace);
  REQUIRE(std::holds_alternative<WriteLog>(commands[0]));
  CHECK(std::get<WriteLog>(commands[0]).entry.event == "disk_full");
  CHECK(std::get<std::string>(std::get<WriteLog>(commands[0]).entry.fields[0].value) == full.message);
  CHECK(guard.handle(TimerFired{"next"}, Instant{}).empty());
}

TEST_CASE("disk guard: every other failure is the machine's own to judge") {
  Counting inner;
  DiskGuard guard(inner);
  for (const ErrorCode code : {ErrorCode::kResourceExhausted, ErrorCode::kUnavailable, ErrorCode::kCorrupted}) {
    CHECK(halted_with(guard.handle(WorkFailed{1, {code, "x"}}, Instant{})) == 0);
    CHECK(halted_with(guard.handle(BlobFailed{1, {code, "x"}}, Instant{})) == 0);
  }
  CHECK(inner.seen == 6);
}

TEST_CASE("disk guard: a failure after our own files were taken away is theirs, and ends the process") {
  Counting inner;
  Result<void> state;
  DiskGuard guard(inner, "", [&] { return state; });
  const Event failed = BlobFailed{1, {ErrorCode::kNotFound, "/data/blobs/tmp/3: No such file or directory"}};
  CHECK(halted_with(guard.handle(failed, Instant{})) == 0);  // all is there: another reason
  state = unexpected(ErrorCode::kCorrupted, "/data/blobs/tmp is gone");
  CHECK(halted_with(guard.handle(TimerFired{"next"}, Instant{})) == 0);
  const Commands commands = guard.handle(failed, Instant{});
  CHECK(inner.seen == 2);
  REQUIRE(commands.size() == 3);
  CHECK(std::get<WriteLog>(commands[0]).entry.event == "state_gone");
  CHECK(std::holds_alternative<Leave>(std::get<Send>(commands[1]).message));
  CHECK(halted_with(commands) == kExitCorrupted);
  CHECK(std::get<Halt>(commands[2]).text.find("/data/blobs/tmp is gone; put it back") == 0);
  CHECK(guard.handle(failed, Instant{}).empty());
}
