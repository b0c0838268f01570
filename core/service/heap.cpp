#include "core/service/heap.h"

#include <malloc.h>

#include "core/base/check.h"

namespace covey {

void share_one_heap() {
#ifdef M_ARENA_MAX
  COVEY_CHECK(::mallopt(M_ARENA_MAX, 1) == 1);
#endif
}

}  // namespace covey
