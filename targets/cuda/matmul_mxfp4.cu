// Matrix products with weights of type MXFP4.
#include "targets/cuda/matmul_launch.cuh"

MOTE_MATMUL_OF(mxfp4, kMXFP4)
