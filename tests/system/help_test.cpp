// What the programs offer, held against docs/commands.md: a flag that is not there, or that is gone, is found here.
#include <doctest/doctest.h>

#include <algorithm>
#include <regex>
#include <set>
#include <sstream>

#include "tests/system/federation.h"

using namespace covey::system_test;

namespace {

using Words = std::set<std::string>;

Words flags_in(const std::string& text) {
  static const std::regex flag("(^|[^-A-Za-z0-9_])--([a-z][a-z-]*[a-z])");
  Words found;
  for (std::sregex_iterator at(text.begin(), text.end(), flag), end; at != end; ++at) found.insert("--" + at->str(2));
  return found;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

// The flags at the beginning of a help's lines, and below "Subcommands:" the words there.
struct Help {
  Words flags, commands;
};

Help help_of(const std::string& program, std::vector<std::string> arguments) {
  static Nursery nursery;
  arguments.emplace_back("--help");
  const Process& process = nursery.run({program, std::move(arguments)});
  INFO(process.errors());
  REQUIRE(process.code() == 0);
  Help help;
  bool commands = false;
  for (const std::string& line : lines_of(process.out())) {
    commands = line.starts_with("Subcommands:") || (commands && line.starts_with("  "));
    const std::size_t begin = line.find_first_not_of(' ');
    if (begin == 0 || begin == std::string::npos) continue;
    const std::string first = line.substr(begin, line.find("  ", begin) - begin);
    if (commands && std::isalpha(static_cast<unsigned char>(first[0])) != 0) help.commands.insert(first);
    if (first[0] == '-') help.flags.merge(flags_in(first));
  }
  return help;
}

std::string commands_md() { return read_text(std::string(COVEY_SOURCE_DIR) + "/docs/commands.md"); }

// The lines from those that `begins` likes to the next that begins a command or a section.
template <class Begins>
std::string part(const std::string& text, Begins begins) {
  std::string found;
  bool within = false;
  for (const std::string& line : lines_of(text)) {
    if (begins(line))
      within = true;
    else if (line.starts_with("`covey ") || line.starts_with("#"))
      within = false;
    if (within) found += line + "\n";
  }
  return found;
}

std::string of_command(const std::string& text, const std::string& command) {
  return part(text, [&](const std::string& line) { return line.starts_with("`covey " + command + " ") || line.starts_with("`covey " + command + "`"); });
}

Words less(Words words, const Words& known) {
  for (const std::string& word : known) words.erase(word);
  return words;
}

std::string text_of(const Words& words) {
  std::string text;
  for (const std::string& word : words) text += word + " ";
  return text;
}

// Said once for all of them.
const Words kCommon{"--help", "--json", "--home", "--version"};
const Words kOnFiles{"generate", "evaluate", "export"};

Words lacking(const Help& help, const std::string& documented) {
  Words said = flags_in(documented);
  if (documented.find("-o ") != std::string::npos) said.insert("--output");  // the same flag
  return less(less(help.flags, kCommon), said);
}

}  // namespace

TEST_CASE("help: docs/commands.md has every flag of every command and program, and no other") {
  const std::string text = commands_md();
  REQUIRE(text.find("# Commands") == 0);
  Words offered{"--help", "--version"};
  const Help covey = help_of("covey", {});
  REQUIRE(covey.commands.size() > 20);
  for (const std::string& command : covey.commands) {
    CAPTURE(command);
    const bool nested = command == "bench";
    const Help help = nested ? help_of("covey", {"bench", "train"}) : help_of("covey", {command});
    REQUIRE(help.flags.contains("--json"));
    std::string documented = of_command(text, nested ? "bench train" : command);
    if (kOnFiles.contains(command)) documented += part(text, [](const std::string& line) { return line.starts_with("`generate`, `evaluate` and `export`"); });
    CHECK_MESSAGE(!documented.empty(), "no paragraph begins with `covey " << command);
    CHECK_MESSAGE(lacking(help, documented).empty(), "docs/commands.md lacks, of covey " << command << ": " << text_of(lacking(help, documented)));
    const std::string usage = documented.substr(0, documented.find('`', 1));
    const Words gone = less(flags_in(usage), help.flags);
    CHECK_MESSAGE(gone.empty(), "docs/commands.md has, and covey " << command << " has not: " << text_of(gone));
    offered.insert(help.flags.begin(), help.flags.end());
  }
  struct Program {
    std::string name, section;
    std::vector<std::vector<std::string>> commands;
  };
  for (const Program& program : {Program{"covey-client", "## The client's settings", {{}}}, Program{"covey-coordinator", "## The coordinator's settings", {{}}},
                                 Program{"covey-sim", "## The simulator", {{"run"}, {"faults"}}}}) {
    CAPTURE(program.name);
    const std::string documented = part(text, [&](const std::string& line) { return line == program.section; });
    CHECK_FALSE(documented.empty());
    for (const auto& command : program.commands) {
      const Help help = help_of(program.name, command);
      CHECK(help.flags.size() > 10);
      CHECK_MESSAGE(lacking(help, documented).empty(), "docs/commands.md lacks, of " << program.name << ": " << text_of(lacking(help, documented)));
      offered.insert(help.flags.begin(), help.flags.end());
    }
  }
  CHECK_MESSAGE(less(flags_in(text), offered).empty(), "docs/commands.md has flags that nothing has: " << text_of(less(flags_in(text), offered)));
}

TEST_CASE("help: the scripts tell their flags, and refuse others, before they do anything") {
  Nursery nursery;
  const std::string source = COVEY_SOURCE_DIR;
  const Help demo = help_of("covey", {"demo"});
  const Process& help = nursery.run({"/bin/bash", {source + "/demo", "--help"}});
  CHECK(help.code() == 0);
  CHECK(less(demo.flags, flags_in(help.out())).empty());
  CHECK(less(flags_in(help.out()), demo.flags).empty());
  for (const char* script : {"/demo", "/packaging/sbom"}) {
    CHECK(nursery.run({"/bin/bash", {source + script, "--help"}}).code() == 0);
    const Process& refused = nursery.run({"/bin/bash", {source + script, "--nosuch"}});
    CHECK(refused.code() == 2);
    CHECK(refused.says("there is no flag --nosuch"));
  }
}
