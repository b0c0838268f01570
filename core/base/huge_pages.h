// Large pages for large memory: fewer addresses to look up, and a processor fetches ahead within a page.
#pragma once
#include <cstddef>

namespace covey {

// Of memory that nobody has touched: the system may back its whole large pages with such. Small ones stay where it
// has no others, and at both ends, so that no more memory is taken than without.
void ask_for_huge_pages(void* begin, std::size_t bytes);

}  // namespace covey
