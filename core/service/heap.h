// How the allocator keeps what a long-lived process has freed.
#pragma once

namespace covey {

// One arena for all threads; call it before the first of them. By default glibc makes up to eight for each
// core, and every I/O thread that ever moved chunks holds on to its own megabytes. Measured on 64 updates of
// 40 MB: a peak of 100 instead of 106 MiB, and no more CPU.
void share_one_heap();

}  // namespace covey
