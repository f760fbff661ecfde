#define INSTRUCTIONS avx2
#include "kernels.inc"
