#!/bin/bash
# Everything that only a GPU can say, in one call of under ten minutes, without a network:
#   bench/cuda_check.sh [--built FOLDER] [--only "PART..."] [MODEL.gguf]...
#
#   --built FOLDER  builds nothing and takes the programs from there
#   --only PARTS    of: tests sanitizer products torch models streams; or `steps`: in 100 s, what generation's steps
#                   do, under racecheck too, and how fast they are (Q4_0 and Q8_0)
#
# Builds for the GPUs that are here, then: the models of the tests on the GPU beside the CPU (every family, every type),
# with compute-sanitizer's memcheck and racecheck where it is installed; the copy bandwidth, and products of 1 to 32 tokens
# as shares of it; the peak of PyTorch's matrix product in bfloat16, where there is PyTorch; decode and prefill of the
# models given, or of llama3.2-1b and llama3-8b shapes with random weights (Q4_0, Q4_K_M, Q8_0, F16); 1, 8 and 32 streams
# that sample, from all logits and from the best alone.
# The report goes to $OUT/cuda_check.md, or build/cuda/cuda_check.md.
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib/common.sh"

folder=build/cuda built=0 parts="tests sanitizer products torch models streams"
while (($#)); do
  case $1 in
    -h | --help) sed -n '2,15s/^# \{0,1\}//p' "$0"; exit 0 ;;
    --built) folder=$2 built=1; shift 2 ;;
    --only) parts=$2; shift 2 ;;
    -*) complain "bench/cuda_check.sh: unknown option $1 (see --help)"; exit 2 ;;
    *) break ;;
  esac
done
models=("$@")
out=${OUT:-$folder}
mkdir -p "$folder" "$out"
report=$out/cuda_check.md
status=0
wants() { [[ " $parts " == *" $1 "* ]]; }
seconds_left() { echo $((570 - SECONDS)); }
tell() { say "$@" | tee -a "$report"; }

build() {
  local arch
  arch=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | tr -d .)
  cmake -S . -B "$folder" -G Ninja -DCMAKE_BUILD_TYPE=Release -DMOTE_CUDA=ON -DMOTE_CUDA_ARCHS="$arch" >"$folder/configure.log"
  ninja -C "$folder" -j "$(nproc)" mote_program test_cuda_device make_model cuda_speed stream_speed >"$folder/build.log" || {
    tail -n 40 "$folder/build.log"
    complain "bench/cuda_check.sh: the build failed"
    exit 1
  }
  tell "built in $SECONDS s"
}

check_tests() {
  timeout 180 "$folder/tests/cuda/test_cuda_device" >"$out/test.log" 2>&1 || status=1
  grep -E '^\[  (PASSED|FAILED)|worst|tests ran' "$out/test.log" | tee -a "$report" || true
}

check_memory() {
  if ! command -v compute-sanitizer >/dev/null || (($(seconds_left) < 240)); then
    tell "compute-sanitizer: not here, or no time left: skipped"
    return
  fi
  local tool code
  for tool in memcheck racecheck; do
    tell "compute-sanitizer $tool"
    code=0
    timeout 90 compute-sanitizer --tool "$tool" --error-exitcode 9 "$folder/tests/cuda/test_cuda_device" \
      --gtest_filter='*TypesAgree*:*BatchesDoNotShow*:*TheBestLogits*' >"$out/$tool.log" 2>&1 || code=$?
    case $code in
      0) ;;
      124) tell "(cut off after 90 s)" ;;
      *) status=1 ;;
    esac
    tail -n 3 "$out/$tool.log" | tee -a "$report"
  done
}

# What products do besides (targets/cuda/fused_product.cuh): the same bits, and no races.
check_steps() {
  local code=0
  timeout 60 "$folder/tests/cuda/test_cuda_device" \
    --gtest_filter='*DoesNotShow:*DoNotShow:*TypesAgree*:*LongContexts*:*TheBestLogits*:CudaPersistent*' >"$out/test.log" 2>&1 || status=1
  grep -E '^\[  (PASSED|FAILED)|tests ran' "$out/test.log" | tee -a "$report" || true
  command -v compute-sanitizer >/dev/null || return
  timeout 40 compute-sanitizer --tool racecheck --error-exitcode 9 "$folder/tests/cuda/test_cuda_device" \
    --gtest_filter='*WhatProductsDo*:CudaPersistent.TheSameBits' >"$out/racecheck.log" 2>&1 || code=$?
  if ((code == 124)); then
    tell "racecheck: cut off after 40 s"
    return
  fi
  ((code == 0)) || status=1
  tell "racecheck: $(tail -n 1 "$out/racecheck.log")"
}

measure_torch() {
  if ! python3 -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null; then
    tell "PyTorch with a GPU: not here, skipped"
    return
  fi
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
}

# Random weights in the shapes of real models: of those types that somebody wants.
make_models() {
  local place=$folder shape type types="Q4_0" path
  wants models && types="Q4_0 Q4_K_M Q8_0 F16"
  wants steps && ! wants models && types="Q4_0 Q8_0"
  [[ -d /dev/shm ]] && (($(df --output=avail -k /dev/shm | tail -n 1) > 50 << 20)) && place=$(mktemp -d /dev/shm/mote.XXXXXX)
  # shellcheck disable=SC2064  # where it lies now
  [[ $place == "$folder" ]] || trap "rm -rf '$place'" EXIT
  for shape in llama3.2-1b llama3-8b; do
    for type in $types; do
      (($(seconds_left) > 90)) || break
      path=$place/$shape-$type.gguf
      [[ -f $path ]] || timeout 120 "$folder/bench/make_model" "$shape" "$path" "$type" || { rm -f "$path"; continue; }
      models+=("$path")
    done
  done
}

measure_model() {
  local model=$1
  (($(seconds_left) > 30)) || { tell "no time left for $model"; return; }
  tell "### $(basename "$model")"
  if wants models || wants steps; then
    timeout "$(seconds_left)" "$folder/edge/mote" bench "$model" --device cuda -ngl all -p 512 -n 128 -r 3 | tee -a "$report" || status=1
    # Launch by launch and as persistent kernels, in turns.
    local turn switch
    for turn in 1 2; do
      for switch in "" --persistent-steps; do
        (($(seconds_left) > 30)) || break 2
        tell "turn $turn: ${switch:-launches}"
        # shellcheck disable=SC2086  # no word where there is no switch
        timeout 60 "$folder/edge/mote" bench "$model" --device cuda -ngl all $switch -p 0 -n 128 -r 3 | tee -a "$report" || status=1
      done
    done
    timeout "$(seconds_left)" "$folder/edge/mote" bench "$model" --device cuda -ngl all --fast-prompts -p 512 -n 0 -r 3 | tee -a "$report" || status=1
  fi
  if wants streams && [[ $model != *-@(Q4_K_M|Q8_0|F16).gguf ]]; then
    timeout "$(seconds_left)" "$folder/bench/stream_speed" "$model" cuda 48 | tee -a "$report" || status=1
  fi
}

nvidia-smi --query-gpu=name,compute_cap,memory.total,driver_version --format=csv | tee "$report"
((built)) || build
tell
tell "## On the GPU beside the CPU"
tell '```'
wants tests && check_tests
wants sanitizer && check_memory
wants steps && check_steps
tell '```'
tell
tell "## Speed"
if wants products; then "$folder/bench/cuda_speed" | tee -a "$report" || status=1; fi
wants torch && measure_torch
if wants models || wants streams || wants steps; then
  ((${#models[@]})) || make_models
  for model in "${models[@]}"; do measure_model "$model"; done
fi
tell "done in $SECONDS s; the report: $report"
exit "$status"
