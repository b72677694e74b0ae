/* What mote asks of NVIDIA's management library, as a GPU that is hot would answer. */
#define EXPORT __attribute__((visibility("default")))
typedef void* Handle;
static int the_gpu;

EXPORT int nvmlInit_v2(void) {
  return 0;
}
EXPORT int nvmlShutdown(void) {
  return 0;
}
EXPORT int nvmlDeviceGetCount_v2(unsigned* count) {
  *count = 1;
  return 0;
}
EXPORT int nvmlDeviceGetHandleByIndex_v2(unsigned index, Handle* handle) {
  *handle = &the_gpu;
  return index == 0 ? 0 : 2;
}
EXPORT int nvmlDeviceGetName(Handle handle, char* name, unsigned length) {
  const char* text = "Fake GPU";
  unsigned i = 0;
  if (handle != &the_gpu) return 2;
  for (; text[i] != 0 && i + 1 < length; ++i) name[i] = text[i];
  name[i] = 0;
  return 0;
}
EXPORT int nvmlDeviceGetMemoryInfo(Handle handle, unsigned long long* three) {
  if (handle != &the_gpu) return 2;
  three[0] = 1000, three[1] = 400, three[2] = 600;
  return 0;
}
EXPORT int nvmlDeviceGetTemperature(Handle handle, unsigned sensor, unsigned* celsius) {
  *celsius = 83;
  return handle == &the_gpu && sensor == 0 ? 0 : 2;
}
EXPORT int nvmlDeviceGetPowerUsage(Handle handle, unsigned* milliwatts) {
  *milliwatts = 15250;
  return handle == &the_gpu ? 0 : 2;
}
EXPORT int nvmlDeviceGetClockInfo(Handle handle, unsigned which, unsigned* megahertz) {
  *megahertz = 1020;
  return handle == &the_gpu && which == 0 ? 0 : 2;
}
EXPORT int nvmlDeviceGetCurrentClocksThrottleReasons(Handle handle, unsigned long long* reasons) {
  *reasons = 0x20; /* too hot, by software */
  return handle == &the_gpu ? 0 : 2;
}
