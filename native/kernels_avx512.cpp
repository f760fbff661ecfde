#define INSTRUCTIONS avx512
#include "kernels.inc"
