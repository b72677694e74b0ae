// The little linear algebra that least squares need: symmetric positive definite systems in double. Sums are taken in
// one fixed order, so that results are the same on every run and for any number of workers.
#ifndef MOTE_ENGINE_TUNE_DENSE_H_
#define MOTE_ENGINE_TUNE_DENSE_H_

#include <stddef.h>

namespace mote::tune {

double DotDouble(const double* a, const double* b, size_t n);

// a (n, n), row-major: its lower triangle becomes L with L L^T = a. False where it is not positive definite.
bool Cholesky(double* a, size_t n);

// x becomes the solution of L L^T x = x.
void SolveCholesky(const double* l, size_t n, double* x);

// inverse (n, n): its lower triangle becomes the inverse of L; what is above the diagonal becomes 0.
void InvertLower(const double* l, size_t n, double* inverse);

}  // namespace mote::tune

#endif  // MOTE_ENGINE_TUNE_DENSE_H_
