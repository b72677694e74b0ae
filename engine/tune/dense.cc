#include "engine/tune/dense.h"

#include <math.h>
#include <string.h>

#include <algorithm>

namespace mote::tune {
namespace {

// Rows that are worked on together: each row above them is fetched once for all of them, and stays in the first-level
// cache meanwhile.
constexpr size_t kTogether = 8;

void AddScaledDouble(const double* x, double scale, size_t n, double* y) {
  for (size_t i = 0; i < n; ++i) y[i] += scale * x[i];
}

}  // namespace

double DotDouble(const double* a, const double* b, size_t n) {
  constexpr size_t kLanes = 8;  // enough sums at once to hide how long one addition takes
  double lanes[kLanes] = {};
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) lanes[lane] += a[i + lane] * b[i + lane];
  }
  double sum = 0;
  for (; i < n; ++i) sum += a[i] * b[i];
  return ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7])) + sum;
}

bool Cholesky(double* a, size_t n) {
  for (size_t first = 0; first < n; first += kTogether) {
    const size_t end = std::min(n, first + kTogether);
    for (size_t col = 0; col < end; ++col) {
      const double* above = a + col * n;
      for (size_t row = std::max(first, col); row < end; ++row) {
        double* line = a + row * n;
        const double rest = line[col] - DotDouble(line, above, col);
        if (row != col) {
          line[col] = rest / above[col];
          continue;
        }
        if (!(rest > 0) || !isfinite(rest)) return false;
        line[col] = sqrt(rest);
      }
    }
  }
  return true;
}

void SolveCholesky(const double* l, size_t n, double* x) {
  for (size_t row = 0; row < n; ++row) x[row] = (x[row] - DotDouble(l + row * n, x, row)) / l[row * n + row];
  for (size_t row = n; row-- > 0;) {
    x[row] /= l[row * n + row];
    AddScaledDouble(l + row * n, -x[row], row, x);
  }
}

void InvertLower(const double* l, size_t n, double* inverse) {
  for (size_t first = 0; first < n; first += kTogether) {
    const size_t end = std::min(n, first + kTogether);
    memset(inverse + first * n, 0, (end - first) * n * sizeof(double));
    for (size_t above = 0; above < end; ++above) {
      for (size_t row = std::max(first, above); row < end; ++row) {
        double* line = inverse + row * n;
        if (row != above) {
          AddScaledDouble(inverse + above * n, -l[row * n + above], above + 1, line);
          continue;
        }
        line[row] = 1;
        for (size_t col = 0; col <= row; ++col) line[col] /= l[row * n + row];
      }
    }
  }
}

}  // namespace mote::tune
