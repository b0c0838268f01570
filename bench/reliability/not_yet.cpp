// Rows of the table that nothing measures yet: they say so.
#include "bench/reliability/rows.h"

namespace covey::bench {

std::vector<Figure> key_rotation() {
  return {not_measured("row 28: rounds that fail while the key is rotated", "rounds", Bound::kExactly, 0,
                       "the transport key of a coordinator cannot be rotated while it serves; not built")};
}

std::vector<Figure> soak() {
  return {not_measured("row 31: growth of memory over 100,000 comings and goings", "%", Bound::kAtMost, 5,
                       "the soak is not written; rows 5 and 6 connect 10,000 and 5,000 clients once")};
}

}  // namespace covey::bench
