#define INSTRUCTIONS baseline
#include "kernels.inc"
