#include "core/base/check.h"

#include <doctest/doctest.h>
#include <fcntl.h>

#include <csignal>

#include "core/base/result.h"
#include "tests/core/base/child_process.h"

using namespace covey;

namespace {

// A failed check prints to standard error on purpose; keep it out of the test's own output.
void silence_stderr() {
  const int nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (nowhere >= 0) ::dup2(nowhere, 2);
}

}  // namespace

TEST_CASE("check: a failed check ends the process, a true one does nothing") {
  CHECK(in_child_process([] {
          silence_stderr();
          std::signal(SIGABRT, SIG_DFL);
          COVEY_CHECK(1 + 1 == 3);
          return 0;
        }).signal == SIGABRT);
  CHECK(in_child_process([] {
          COVEY_CHECK(1 + 1 == 2);
          return 7;
        }).exit_code == 7);
}

TEST_CASE("result: holds a value or an error, and reading the wrong one ends the process") {
  const Result<int> good = 4;
  REQUIRE(good);
  CHECK(*good == 4);
  const Result<int> bad = unexpected(ErrorCode::kNotFound, "no such job 'x'");
  REQUIRE_FALSE(bad);
  CHECK(bad.error() == Error{ErrorCode::kNotFound, "no such job 'x'"});
  CHECK(Result<int>(bad).value_or(9) == 9);
  static_assert(std::is_same_v<decltype(*Result<std::string>("x")), std::string>, "a loop over *f() must not look into the dead");
  static_assert(std::is_same_v<decltype(Result<std::string>("x").value()), std::string>);
  CHECK(in_context("job.toml", bad.error()).message == "job.toml: no such job 'x'");
  CHECK(in_child_process([&] {
          silence_stderr();
          std::signal(SIGABRT, SIG_DFL);
          return *bad;
        }).signal == SIGABRT);
}

TEST_CASE("result: COVEY_TRY passes the error on and otherwise unwraps") {
  const auto half = [](int value) -> Result<int> {
    if (value % 2 != 0) return unexpected(ErrorCode::kInvalidArgument, std::to_string(value) + " is odd");
    return value / 2;
  };
  const auto quarter = [&](int value) -> Result<int> {
    COVEY_TRY(const int once, half(value));
    COVEY_TRY(const int twice, half(once));
    COVEY_TRY_VOID(Result<void>());
    return twice;
  };
  CHECK(*quarter(12) == 3);
  CHECK(quarter(6).error().message == "3 is odd");
}

TEST_CASE("result: every error code has its own name") {
  CHECK(std::string(name_of(ErrorCode::kInvalidArgument)) == "invalid_argument");
  CHECK(std::string(name_of(ErrorCode::kInternal)) == "internal");
  for (int a = 0; a <= static_cast<int>(ErrorCode::kInternal); ++a)
    for (int b = 0; b < a; ++b)
      CHECK(std::string(name_of(static_cast<ErrorCode>(a))) != name_of(static_cast<ErrorCode>(b)));
}
