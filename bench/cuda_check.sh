#!/bin/bash
# Everything that only a GPU can say, in one call of under ten minutes, without a network:
#   bench/cuda_check.sh [MODEL.gguf]...
#
# Builds for the GPUs that are here, then: the models of the tests on the GPU beside the CPU (every family, every type),
# with compute-sanitizer's memcheck and racecheck where it is installed; the copy bandwidth, and products of 1 to 32 tokens
# as shares of it; the peak of PyTorch's matrix product in bfloat16, where there is PyTorch; decode and prefill of the
# models given, or of llama3.2-1b and llama3-8b shapes with random weights (Q4_0, Q4_K_M, Q8_0, F16).
# The report goes to $OUT/cuda_check.md, or build/cuda/cuda_check.md.
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib/common.sh"

[[ ${1:-} == -h || ${1:-} == --help ]] && { sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 0; }
folder=build/cuda
out=${OUT:-$folder}
mkdir -p "$folder" "$out"
report=$out/cuda_check.md
seconds_left() { echo $((570 - SECONDS)); }

nvidia-smi --query-gpu=name,compute_cap,memory.total,driver_version --format=csv | tee "$report"
arch=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | tr -d .)
cmake -S . -B "$folder" -G Ninja -DCMAKE_BUILD_TYPE=Release -DMOTE_CUDA=ON -DMOTE_CUDA_ARCHS="$arch" >"$folder/configure.log"
ninja -C "$folder" -j "$(nproc)" mote_program test_cuda_device make_model cuda_speed >"$folder/build.log" || {
  tail -n 40 "$folder/build.log"
  complain "bench/cuda_check.sh: the build failed"
  exit 1
}
say "built in $SECONDS s" | tee -a "$report"

status=0
{
  say
  say "## On the GPU beside the CPU"
  say '```'
} >>"$report"
timeout 180 "$folder/tests/cuda/test_cuda_device" >"$folder/test.log" 2>&1 || status=1
grep -E '^\[  (PASSED|FAILED)|worst|tests ran' "$folder/test.log" | tee -a "$report" || true
if command -v compute-sanitizer >/dev/null && (($(seconds_left) > 240)); then
  for tool in memcheck racecheck; do
    say "compute-sanitizer $tool" | tee -a "$report"
    code=0
    timeout 90 compute-sanitizer --tool "$tool" --error-exitcode 9 "$folder/tests/cuda/test_cuda_device" \
      --gtest_filter='*TypesAgree*:*BatchesDoNotShow*' >"$folder/$tool.log" 2>&1 || code=$?
    case $code in
      0) ;;
      124) say "(cut off after 90 s)" | tee -a "$report" ;;
      *) status=1 ;;
    esac
    tail -n 3 "$folder/$tool.log" | tee -a "$report"
  done
else
  say "compute-sanitizer: not here, skipped" | tee -a "$report"
fi
say '```' >>"$report"

{
  say
  say "## Speed"
  "$folder/bench/cuda_speed"
} | tee -a "$report" || status=1
if python3 -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null; then
  timeout 60 python3 - <<'EOF' | tee -a "$report"
import time
import torch
a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
times = []
for _ in range(12):
    torch.cuda.synchronize()
    begin = time.perf_counter()
    a @ b
    torch.cuda.synchronize()
    times.append(time.perf_counter() - begin)
print("\nPyTorch's product of 8192 x 8192 x 8192 in bfloat16: %.0f TFLOP/s" % (2e-12 * 8192**3 / sorted(times[2:])[5]))
EOF
else
  say "PyTorch with a GPU: not here, skipped" | tee -a "$report"
fi
models=("$@")
if ((${#models[@]} == 0)); then
  place=$folder
  [[ -d /dev/shm ]] && (($(df --output=avail -k /dev/shm | tail -n 1) > 50 << 20)) && place=$(mktemp -d /dev/shm/mote.XXXXXX)
  [[ $place == "$folder" ]] || trap 'rm -rf "$place"' EXIT
  for shape in llama3.2-1b llama3-8b; do
    for type in Q4_0 Q4_K_M Q8_0 F16; do
      (($(seconds_left) > 90)) || break
      path=$place/$shape-$type.gguf
      [[ -f $path ]] || timeout 120 "$folder/bench/make_model" "$shape" "$path" "$type" || { rm -f "$path"; continue; }
      models+=("$path")
    done
  done
fi
for model in "${models[@]}"; do
  (($(seconds_left) > 30)) || { say "no time left for $model" | tee -a "$report"; continue; }
  say "### $(basename "$model")" | tee -a "$report"
  timeout "$(seconds_left)" "$folder/edge/mote" bench "$model" --device cuda -ngl all -p 512 -n 128 -r 3 | tee -a "$report" || status=1
done
say "done in $SECONDS s; the report: $report"
exit "$status"
