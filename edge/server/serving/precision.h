// Which of a model's precisions should answer a request.
#ifndef MOTE_EDGE_SERVER_SERVING_PRECISION_H_
#define MOTE_EDGE_SERVER_SERVING_PRECISION_H_

#include <string>
#include <vector>

namespace mote::server {

// Bits of a weight, about: "f32" 32, "f16" 16, "bf16" 16, "q8_0" 8.5, "q4_k_m" 4.8; what is not known 0. Any case.
double BitsOf(const std::string& precision);

// The same name, in any case.
bool SamePrecision(const std::string& a, const std::string& b);

// What the choice looks at, of one precision.
struct PrecisionState {
  std::string precision;
  double load = 0;   // requests that wait or run, per session
  double wait = 0;   // seconds until a new request would begin, as lately measured; 0: at once, or not known
  double speed = 1;  // of computing, relative to the others; more is faster
};

// The finest that has room: in the order given (finest first), the first one of at least `floor` (a precision, or "")
// whose load is below `busy` and that can begin before half of `deadline` seconds have gone (0: any). Where all are
// busy, the one with the least load; ties to the finest. -1: none is fine enough.
int ChoosePrecision(const std::vector<PrecisionState>& states, const std::string& floor, double deadline, double busy);

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_SERVING_PRECISION_H_
