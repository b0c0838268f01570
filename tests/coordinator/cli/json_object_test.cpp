#include "coordinator/cli/json_object.h"

#include <doctest/doctest.h>

#include <limits>
#include <nlohmann/json.hpp>

using namespace covey::cli;

TEST_CASE("json: keys stay in order and every kind of value has its form") {
  const JsonObject inner = JsonObject().add("a", 1);
  const JsonObject object = JsonObject()
                                .add("text", "x")
                                .add("flag", false)
                                .add("whole", std::uint64_t{18446744073709551615U})
                                .add("part", 0.25)
                                .add("none", std::numeric_limits<double>::quiet_NaN())
                                .null("epsilon")
                                .add("inner", inner)
                                .add("list", std::vector<JsonObject>{inner, inner});
  CHECK(object.text() ==
        R"({"text":"x","flag":false,"whole":18446744073709551615,"part":0.25,"none":null,"epsilon":null,)"
        R"("inner":{"a":1},"list":[{"a":1},{"a":1}]})");
}

TEST_CASE("json: any bytes make a line that parses") {
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  for (const std::string& text :
       {all, std::string("quote \" back \\ line\nend"), std::string("\xed\xa0\x80 \xc0\x80 \xf4\x90\x80\x80"),
        std::string("gr\xc3\xbc\xc3\x9f \xf0\x9f\x90\x9d")}) {
    const std::string line = JsonObject().add("k", text).text();
    CHECK(line.find('\n') == std::string::npos);
    const auto parsed = nlohmann::json::parse(line, nullptr, false);
    REQUIRE_FALSE(parsed.is_discarded());
    CHECK(parsed["k"].is_string());
  }
  const auto kept = nlohmann::json::parse(JsonObject().add("k", "gr\xc3\xbc\xc3\x9f \"\\\n").text());
  CHECK(kept["k"] == "gr\xc3\xbc\xc3\x9f \"\\\n");
}
