// Named places where a test may end the process on the spot: between what is durable and what is
// told. Compiled in only under COVEY_FAULT_POINTS, which no product target defines; there a point is
// an immediate function, so that nothing of it can be left: no call, no symbol, no text.
#pragma once

namespace covey {

#ifdef COVEY_FAULT_POINTS
void fault_point(const char* name);  // the crash harness defines it: tests/crash/fault_switch.cpp
#else
consteval void fault_point(const char*) {}
#endif

}  // namespace covey
