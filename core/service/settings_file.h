// What is wrong with a program's file of settings, for people: the file, the name, and the one that was meant.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace covey {

// The names that a file should use: those of the flags of `app` (a CLI::App) that files may set, without dashes.
template <class App>
std::vector<std::string> setting_names(const App& app) {
  std::vector<std::string> names;
  for (const auto* option : app.get_options())
    if (option->get_configurable() && !option->get_group().empty())  // hidden: another spelling
      for (const std::string& name : option->get_lnames()) names.push_back(name);
  return names;
}

// `what` is what the parser says of the file at `path`, which may be that nothing is called so: then the error,
// kInvalidArgument, names the closest of `known`.
Error settings_error(const std::string& path, std::string_view what, const std::vector<std::string>& known);

}  // namespace covey
