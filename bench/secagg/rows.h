// The rows of the secagg table, each in its own file beside this one, and what they share.
#pragma once
#include <chrono>
#include <functional>
#include <vector>

#include "bench/figure.h"

namespace covey::bench {

std::vector<Figure> secagg_masking();  // a client's masks against the cipher alone, and against Flower's
std::vector<Figure> secagg_memory();   // what masking needs beside the update
std::vector<Figure> secagg_unmask();   // the server's end of a round
std::vector<Figure> secagg_cohort();   // a thousand real state machines, and what they send

// What a measured loop does beside the thing that is measured.
struct MaskWork {
  std::size_t words = 0;
  std::size_t terms = 0;
  std::size_t threads = 1;
};
double seconds_of(const std::function<void()>& act);
double median(std::vector<double> values);
double cipher_seconds(const MaskWork& work);    // the keystream of those bytes alone, AES-256-CTR
double addition_seconds(const MaskWork& work);  // adding those bytes alone, in the cache, lanes of 32 bits

}  // namespace covey::bench
