// Matrix products with weights of type IQ4_XS.
#include "targets/cuda/matmul_launch.cuh"

MOTE_MATMUL_OF(iq4_xs, kIQ4_XS)
