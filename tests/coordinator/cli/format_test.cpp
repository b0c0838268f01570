#include "coordinator/cli/format.h"

#include <doctest/doctest.h>

#include <limits>

using namespace covey;
using namespace covey::cli;

TEST_CASE("format: what is shown while it comes ends with a whole character") {
  const std::string text = "a\xc3\xa4\xe2\x82\xac\xf0\x9f\x90\xa6z";  // 1, 2, 3, 4 and 1 bytes
  const std::size_t whole[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11};
  for (std::size_t size = 0; size <= text.size(); ++size) {
    CAPTURE(size);
    CHECK(whole_bytes(std::string_view(text).substr(0, size)) == whole[size]);
  }
  CHECK(whole_bytes("\x80\x80\x80\x80") == 4);  // belongs to nothing: is not waited for
  CHECK(whole_bytes("a\xff") == 2);
}

TEST_CASE("format: bytes keep two or three digits and grow by powers of 1000") {
  CHECK(bytes_text(0) == "0 B");
  CHECK(bytes_text(999) == "999 B");
  CHECK(bytes_text(1000) == "1.0 kB");
  CHECK(bytes_text(123'456) == "123 kB");
  CHECK(bytes_text(999'999) == "1.0 MB");
  CHECK(bytes_text(9'847'680) == "9.8 MB");
  CHECK(bytes_text(std::numeric_limits<std::uint64_t>::max()) == "18 EB");
}

TEST_CASE("format: durations change their unit as they grow") {
  CHECK(duration_text(0.04) == "0.0 s");
  CHECK(duration_text(9.94) == "9.9 s");
  CHECK(duration_text(59.4) == "59 s");
  CHECK(duration_text(59.6) == "1 min 00 s");
  CHECK(duration_text(200) == "3 min 20 s");
  CHECK(duration_text(7500) == "2 h 05 min");
  CHECK(duration_text(3 * 86400 + 4 * 3600) == "3 d 4 h");
  CHECK(duration_text(-1) == "-");
  CHECK(duration_text(std::numeric_limits<double>::quiet_NaN()) == "-");
}

TEST_CASE("format: a duration flag is a number and a unit within its bounds") {
  const auto parse = [](std::string_view text) { return duration_from("--expires", text, 60s, 24h * 90); };
  CHECK(*parse("24h") == 24h);
  CHECK(*parse("90s") == 90s);
  CHECK(*parse("90d") == 24h * 90);
  for (const char* bad :
       {"", "h", "24", "24 h", "1.5h", "-3h", "59s", "91d", "5y", "99999999999999999999d"}) {
    const auto refused = parse(bad);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::kInvalidArgument);
    CHECK(refused.error().message.find("--expires") != std::string::npos);
    CHECK(refused.error().message.find("24h") != std::string::npos);  // the remedy
  }
}

TEST_CASE("format: what peers send cannot drive the terminal") {
  CHECK(printable("a\x1b[2Jb") == "a?[2Jb");
  CHECK(printable("line\nnext\ttab\r") == "line\nnext\ttab?");
  CHECK(printable("gr\xc3\xbc\xc3\x9f") == "gr\xc3\xbc\xc3\x9f");
  CHECK(printable("\xff\xc3") == "??");
  CHECK(printable("\xc2\x9b"
                  "31m") == "?31m");  // C1's control sequence introducer
  CHECK(one_line("a\nb") == "a b");
}

TEST_CASE("format: a table is as wide as its cells, and hostile cells stay on their line") {
  Table table({"NAME", "N"}, {1});
  CHECK(table.empty());
  table.add({"gr\xc3\xbcn", "7"});
  table.add({"x\ny", "1234"});
  CHECK(table.lines() == std::vector<std::string>{"NAME     N", "gr\xc3\xbcn     7", "x y   1234"});
}

TEST_CASE("format: a bar is never longer or shorter than asked") {
  CHECK(bar_text(0, 4) == "[....]");
  CHECK(bar_text(0.5, 4) == "[##..]");
  CHECK(bar_text(7, 4) == "[####]");
  CHECK(bar_text(-1, 4) == "[....]");
  CHECK(bar_text(std::numeric_limits<double>::quiet_NaN(), 4) == "[....]");
}

TEST_CASE("format: dates are UTC to the second") {
  CHECK(date_text(instant_of_nanos(0)) == "-");
  CHECK(date_text(instant_of_nanos(1'000'000'000'000'000'000)) == "2001-09-09 01:46:40");
}
