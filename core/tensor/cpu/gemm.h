// Single-precision matrix product through oneDNN, on the calling thread alone.
#pragma once
#include <cstdint>

namespace covey::cpu {

struct GemmSize {
  std::int64_t m, n, k;
};
struct GemmMatrix {
  const float* data;
  std::int64_t columns;  // as stored, row-major: floats from row to row
  bool transposed;       // the product uses its transpose
};
struct GemmOutput {
  float* data;
  std::int64_t columns;
};

// c[m,n] = a[m,k] b[k,n] + beta c, shapes after transposition. beta 0 does not read c.
void gemm(GemmSize size, GemmMatrix a, GemmMatrix b, float beta, GemmOutput c);

}  // namespace covey::cpu
