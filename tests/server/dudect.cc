// Whether the time of looking up a key tells anything about the key, after dudect (Reparaz, Balasch, Verbauwhede,
// 2017): times of a near miss and of a random secret, in random order, compared by Welch's t-test. |t| below 4.5 says
// that no difference was found. By hand, for no test may depend on a time: dudect [SAMPLES] [KEYS]
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "edge/server/auth/key_ring.h"

namespace mote::server {
namespace {

double Nanoseconds() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

// Mean and variance, one value after the other.
struct Moments {
  double count = 0, mean = 0, squares = 0;
  void Add(double value) {
    count += 1;
    const double delta = value - mean;
    mean += delta / count;
    squares += delta * (value - mean);
  }
  double Error() const { return squares / (count - 1) / count; }
};

double T(const Moments& a, const Moments& b) {
  return (a.mean - b.mean) / sqrt(a.Error() + b.Error());
}

// The t of two classes of secrets. Times above the 90th percentile of the first 10,000 are the machine's, not ours.
double Measure(const KeyRing& ring, const std::vector<std::string>& first, const std::vector<std::string>& second,
               int samples) {
  std::mt19937 random(1);
  std::vector<double> warmup;
  Moments moments[2];
  double limit = INFINITY;
  for (int i = 0; i < samples; ++i) {
    const uint32_t bits = random();
    const std::vector<std::string>& secrets = (bits & 1) != 0 ? second : first;
    const std::string& secret = secrets[bits / 2 % secrets.size()];
    const double start = Nanoseconds();
    const bool found = ring.Find(secret).has_value();
    const double time = Nanoseconds() - start;
    if (found) return NAN;  // the classes are of secrets that open nothing
    if (warmup.size() < 10000) {
      warmup.push_back(time);
      if (warmup.size() == 10000) {
        std::sort(warmup.begin(), warmup.end());
        limit = warmup[9000];
      }
    } else if (time <= limit) {
      moments[bits & 1].Add(time);
    }
  }
  printf("  mean %.1f ns and %.1f ns of %.0f and %.0f", moments[0].mean, moments[1].mean, moments[0].count,
         moments[1].count);
  return T(moments[0], moments[1]);
}

int Main(int samples, int count) {
  std::string path = "/tmp/mote-dudect-XXXXXX";
  const int file = mkstemp(path.data());
  if (file < 0) return 1;
  close(file);
  // Thirds of the keys: digests that differ from a known secret's in the last byte, in the first, and in all.
  std::vector<std::string> in_last, in_first, in_all;
  const Result<void> made = ChangeKeys(path, [&](std::vector<Key>* keys) -> Result<void> {
    for (int i = 0; i < count; ++i) {
      const std::string secret = *MakeSecret();
      Key key = {"key-" + std::to_string(i), DigestOf(secret), kScopeChat, {}, 1, 0};
      if (i % 3 == 0) key.digest.back() ^= 1;
      if (i % 3 == 1) key.digest.front() ^= 1;
      if (i % 3 == 2) key.digest = DigestOf(secret + "another");
      (i % 3 == 0 ? in_last : i % 3 == 1 ? in_first : in_all).push_back(secret);
      keys->push_back(key);
    }
    return {};
  });
  const Result<std::unique_ptr<KeyRing>> ring = KeyRing::Open(path, "");
  unlink(path.c_str());
  if (!made.ok() || !ring.ok() || count < 3) return 1;
  printf("%d keys, %d samples each\n", count, samples);
  printf("all bytes but the last are a key's, or none:");
  printf("  t = %.2f\n", Measure(**ring, in_last, in_all, samples));
  printf("all bytes but the last are a key's, or all but the first:");
  printf("  t = %.2f\n", Measure(**ring, in_last, in_first, samples));
  return 0;
}

}  // namespace
}  // namespace mote::server

int main(int argc, char** argv) {
  return mote::server::Main(argc > 1 ? atoi(argv[1]) : 1000000, argc > 2 ? atoi(argv[2]) : 99);
}
