#include "core/service/disk_guard.h"

#include <doctest/doctest.h>

#include "core/service/exit_code.h"

using namespace covey;

namespace {

struct Counting final : Machine {
  Commands handle(const Event&, Instant) override {
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
