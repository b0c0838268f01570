#include "core/service/settings_file.h"

#include <doctest/doctest.h>

using namespace covey;

TEST_CASE("settings file: an unknown name is told with its file and the one that was meant") {
  const std::vector<std::string> known{"control-port", "plain-updates", "threads"};
  const Error near = settings_error("client.toml", "INI was not able to parse plain_update", known);
  CHECK(near.code == ErrorCode::kInvalidArgument);
  CHECK(near.message == "client.toml: there is no setting \"plain_update\"; did you mean plain-updates?");
  const Error far = settings_error("client.toml", "INI was not able to parse favourite", known);
  CHECK(far.message.find("client.toml: there is no setting \"favourite\"; its settings are named as the flags are") == 0);
  const Error other = settings_error("client.toml", "recover: This option is not allowed in a configuration file", known);
  CHECK(other.message.find("client.toml: recover: This option is not allowed") == 0);
}
