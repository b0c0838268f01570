// The rules, each a function from one file's text (or the list of files) to what breaks it.
#pragma once
#include <cstddef>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tests/lint/source_text.h"

namespace covey::lint {

struct Violation {
  std::string path;
  std::size_t line = 0;
  std::string rule;  // what is wrong and what to do instead
};
using Violations = std::vector<Violation>;

bool is_cpp(std::string_view path);       // .h .cpp .cu .cuh
bool is_source(std::string_view path);    // those, and CMake, scripts, schemas, web files
bool is_state_machine(std::string_view path);
std::string_view room_of(std::string_view path);  // "" outside every room

// Every room that `room` may use, itself included, by the table in house.h.
std::set<std::string_view> doors_of(std::string_view room);

// Own includes: root-relative, of a file in `paths`, through a drawn door.
Violations check_doors(const Source& source, const std::set<std::string>& paths);
// The headers that another room (tests aside) includes, directly or through others: what a third
// party's header must not enter. The rest are private to their room.
std::set<std::string> public_headers(const std::vector<Source>& sources);
// Third-party and system includes. `public_ones` as above.
Violations check_third_parties(const Source& source, const std::set<std::string>& public_ones);
Violations check_state_machine(const Source& source);
Violations check_length(const Source& source);
// A header begins with a comment that says what it is for, and has #pragma once.
Violations check_header(const Source& source);
// x.cpp includes x.h first, if there is one: so every header is seen to stand on its own.
Violations check_own_header_first(const Source& source, const std::set<std::string>& paths);
// Unreproducible chance, unfinished work, sleeps in tests.
Violations check_words(const Source& source);
// Paths that exist on one machine only.
Violations check_absolute_paths(const Source& source);
Violations check_top_level(const std::set<std::string>& paths);
// Every CMakeLists.txt was read by CMake. `folders`: those reached, root-relative ("" is the root).
Violations check_folders(const std::set<std::string>& paths, const std::set<std::string>& folders);
// Every .cpp and .cu is named in the CMakeLists.txt of its folder or of one above.
Violations check_built(const std::vector<Source>& sources);

}  // namespace covey::lint
