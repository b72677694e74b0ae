// How the values of settings are written.
#ifndef MOTE_EDGE_SERVER_CONFIG_VALUES_H_
#define MOTE_EDGE_SERVER_CONFIG_VALUES_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "edge/server/config/settings.h"

namespace mote::server {

// Whole numbers in digits alone.
std::optional<uint64_t> ReadCount(std::string_view text);
// "0.7", "-1.5", "2".
std::optional<double> ReadNumber(std::string_view text);
// "64M", "1.5 GiB", "1000000": units are of 1024.
std::optional<uint64_t> ReadBytes(std::string_view text);
// "30", "1.5", "500ms", "30s", "5m", "1h", in seconds.
std::optional<double> ReadSeconds(std::string_view text);
// on, true, yes, 1; off, false, no, 0; capitals or not.
std::optional<bool> ReadSwitch(std::string_view text);
// "60/min", "10/s", "5000/h", "60" (a minute), "0" or "off": none.
std::optional<Rate> ReadRate(std::string_view text);
// "127.0.0.1:8080", "[::1]:8080", "localhost:8080", ":8080" (every address), "unix:/run/mote.sock".
std::optional<Endpoint> ReadEndpoint(std::string_view text);
// A host alone: a numeric address, localhost, or a socket file ("unix:/run/mote.sock", "/run/mote.sock").
bool ReadHost(std::string_view text, Endpoint* endpoint);
// "8" or "2-8".
std::optional<WorkerRange> ReadWorkers(std::string_view text);
// "[NAME=]FILE[,mmproj=FILE]".
std::optional<ModelFile> ReadModelFile(std::string_view text);
// "ALGORITHM[:ID]=FILE".
std::optional<JwtKeyFile> ReadJwtKeyFile(std::string_view text);

// An address in numbers, in one form: "::1", "127.0.0.1"; IPv6 brackets, and IPv4 inside IPv6, are taken off. Empty if
// it is none.
std::string NumericAddress(std::string_view text);
bool IsLoopback(std::string_view address);

std::string_view Trim(std::string_view text);
std::vector<std::string_view> Split(std::string_view text, char separator);  // trimmed, empty pieces left out
std::string LowerCase(std::string_view text);
// "1536" as "1536", 65536 as "64K".
std::string WriteBytes(uint64_t bytes);
// Of `names` the one that `name` was probably meant to be, or "".
std::string Nearest(std::string_view name, const std::vector<std::string>& names);

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_CONFIG_VALUES_H_
