// Rows of the table that nothing measures yet: they say so.
#include "bench/reliability/rows.h"

namespace covey::bench {

std::vector<Figure> key_rotation() {
  return {not_measured("row 28: rounds that fail while the key is rotated", "rounds", Bound::kExactly, 0,
                       "the transport key of a coordinator cannot be rotated while it serves; not built")};
}

}  // namespace covey::bench
