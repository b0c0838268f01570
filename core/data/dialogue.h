// A play or dialogue split into what each role says.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace covey {

struct DialogueRole {
  std::string name;
  std::string speech;  // everything the role says, in order, blocks separated by a blank line
};

// Blocks are separated by blank lines; a block's first line is "NAME:". A block without a name goes
// on with the role before it. Roles come in the order in which they first speak; one that says
// nothing is there too, with no speech.
// Errors: kInvalidData when text stands before the first name, with the line.
Result<std::vector<DialogueRole>> roles_of(std::string_view text);

}  // namespace covey
