# Sourced by the scripts: the repository root as working directory, messages, Debian packages.
# shellcheck shell=bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
jobs=$(nproc)

say() { printf '%s\n' "$*"; }
complain() { printf '%s\n' "$*" >&2; }

# The packages of some groups that are not installed, on one line.
missing_packages() {
  local group package command wanted wanted_arch
  while read -r group package command; do
    [[ -z $group || $group == '#'* ]] && continue
    wanted=" $* "
    [[ $wanted == *" $group "* ]] || continue
    if [[ -n $command ]] && command -v "$command" >/dev/null; then continue; fi
    # A name without an architecture means this machine's, or a package for all of them.
    wanted_arch="all $(dpkg --print-architecture)"
    [[ $package == *:* ]] && wanted_arch=${package#*:}
    if dpkg-query -W -f='${Architecture} ${db:Status-Status}\n' "$package" 2>/dev/null |
      grep -qxE "(${wanted_arch// /|}) installed"; then continue; fi
    printf '%s ' "$package"
  done <scripts/packages.txt
}

# need GROUP...: installs what is missing of these groups; fails where that cannot be done.
# MOTE_NO_INSTALL=1: never installs, only reports.
need() {
  local missing sudo=
  command -v dpkg-query >/dev/null || { complain "This is not Debian: taking for granted what scripts/packages.txt lists for: $*"; return 0; }
  missing=$(missing_packages "$@")
  [[ -z $missing ]] && return 0
  if [[ ${MOTE_NO_INSTALL:-0} == 1 ]]; then
    complain "missing packages: $missing"
    return 1
  fi
  if [[ $(id -u) != 0 ]]; then
    command -v sudo >/dev/null || { complain "missing packages (install them as root): $missing"; return 1; }
    sudo=sudo
  fi
  say "Installing: $missing"
  # Libraries of another architecture: apt has to be told of it once, and then to fetch its lists.
  if [[ $missing == *:arm64* ]] && ! dpkg --print-foreign-architectures | grep -qx arm64; then
    $sudo dpkg --add-architecture arm64
    $sudo apt-get update -qq || complain "apt-get update failed; trying with the lists that are there"
  fi
  # Lists that are there already usually do; a bare machine has none.
  # shellcheck disable=SC2086
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null 2>&1 && return 0
  $sudo apt-get update -qq || complain "apt-get update failed; trying with the lists that are there"
  # shellcheck disable=SC2086
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
}

# Builds some targets for speed (mote_program: the program), and prints the program's path; messages on stderr.
build_program() {
  need build >&2
  mkdir -p build
  say "Building mote (the first time takes some minutes; log: build/demo.log)" >&2
  if ! { cmake --preset release -B build/demo -DMOTE_TESTS=OFF -DMOTE_SHARED=OFF &&
    cmake --build build/demo -j "$jobs" --target "$@"; } >build/demo.log 2>&1; then
    tail -n 30 build/demo.log >&2
    return 1
  fi
  say build/demo/edge/mote
}
