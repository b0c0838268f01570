// Counts what a program allocates with new: counted_allocations.cpp, which must be one of its sources,
// replaces the operators of all of it.
#pragma once

namespace covey::testing {

long allocations_so_far();

// Allocations while `work` runs.
template <class Work>
long allocations_of(Work work) {
  const long before = allocations_so_far();
  work();
  return allocations_so_far() - before;
}

}  // namespace covey::testing
