// Matrix products with weights of type IQ4_NL.
#include "targets/cuda/matmul_launch.cuh"

MOTE_MATMUL_OF(iq4_nl, kIQ4_NL)
