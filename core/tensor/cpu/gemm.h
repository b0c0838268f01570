// Single-precision matrix product through oneDNN, on the calling thread alone.
#pragma once
#include <cstdint>

namespace covey::cpu {

struct GemmMatrix {
  const float* data;
  std::int64_t columns;  // as stored, row-major
  bool transposed;       // the product uses its transpose
};

// c[m,n] = a[m,k] b[k,n] + beta c, shapes after transposition; c's rows are n apart. beta 0 does
// not read c.
void gemm(std::int64_t m, std::int64_t n, std::int64_t k, GemmMatrix a, GemmMatrix b, float beta,
          float* c);

}  // namespace covey::cpu
