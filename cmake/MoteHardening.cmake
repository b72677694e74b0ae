# Hardening of native builds: what costs nothing that a benchmark can see goes everywhere, the rest into programs and
# tests. tests/install/hardening.py reads the finished program and holds it to this.
target_compile_options(mote_flags INTERFACE -fstack-protector-strong -fstack-clash-protection
  $<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE>  # glibc wants an optimising compiler
  $<$<NOT:$<CONFIG:Debug>>:-D_FORTIFY_SOURCE=3>)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  target_compile_options(mote_flags INTERFACE -fcf-protection=full)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
  target_compile_options(mote_flags INTERFACE -mbranch-protection=standard)
endif()
target_link_options(mote_flags INTERFACE -Wl,-z,relro,-z,now,-z,noexecstack,--as-needed)
