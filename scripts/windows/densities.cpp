// Log densities of the native library of Windows, held against those that densities.py wrote:
// densities.exe LIBRARY FILE. All instruction sets that the processor has.
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <windows.h>

typedef int64_t (*LayDensity)(void *, const double *, const int64_t *, const double *, const int64_t *);
typedef const void *(*KernelsOf)(int level);
typedef const char *(*NameOf)(const void *kernels);
typedef double (*LogDensity)(const void *kernels, const void *density, const double *vector, double *slope);

enum { ALIGNMENT = 64, LEVELS = 3 };
static const double ROUNDING = 1e-10;

template <class Number> static Number *take(FILE *file, int64_t n) {
  Number *taken = (Number *)malloc((size_t)n * sizeof(Number) + ALIGNMENT);
  if (fread(taken, sizeof(Number), (size_t)n, file) != (size_t)n) exit(2);
  return taken;
}

template <class Function> static Function function(HMODULE library, const char *name) {
  Function found = (Function)(void *)GetProcAddress(library, name);
  if (!found) printf("the library has no %s\n", name), exit(2);
  return found;
}

int main(int, char **given) {
  HMODULE library = LoadLibraryA(given[1]);
  if (!library) return printf("%s cannot be loaded: error %lu\n", given[1], GetLastError()), 2;
  const LayDensity lay = function<LayDensity>(library, "crlm_lay_density");
  const KernelsOf kernels_of = function<KernelsOf>(library, "crlm_kernels");
  const NameOf name_of = function<NameOf>(library, "crlm_name");
  const LogDensity log_density = function<LogDensity>(library, "crlm_log_density");
  FILE *file = fopen(given[2], "rb");
  const int64_t n_models = *take<int64_t>(file, 1);
  double worst[LEVELS + 1] = {0};
  for (int64_t model = 0; model < n_models; model++) {
    // lengths of four arrays, number of unknowns, number of points
    const int64_t *n = take<int64_t>(file, 6);
    const double *floats = take<double>(file, n[0]);
    const int64_t *integers = take<int64_t>(file, n[1]);
    const double *row_floats = take<double>(file, n[2]);
    const int64_t *row_integers = take<int64_t>(file, n[3]);
    char *memory = (char *)calloc((size_t)lay(0, floats, integers, row_floats, row_integers) + ALIGNMENT, 1);
    memory += (ALIGNMENT - (uintptr_t)memory % ALIGNMENT) % ALIGNMENT;
    lay(memory, floats, integers, row_floats, row_integers);
    double *slope = (double *)malloc((size_t)n[4] * sizeof(double));
    for (int64_t point = 0; point < n[5]; point++) {
      const double *vector = take<double>(file, n[4]), *expected = take<double>(file, n[4] + 1);
      double largest = 0.0;
      for (int64_t k = 1; k <= n[4]; k++) largest = fmax(largest, fabs(expected[k]));
      for (int level = 1; level <= LEVELS; level++) {
        const void *kernels = kernels_of(level);
        if (!kernels) continue;
        double apart = fabs(log_density(kernels, memory, vector, slope) / expected[0] - 1.0);
        for (int64_t k = 0; k < n[4]; k++) apart = fmax(apart, fabs(slope[k] - expected[k + 1]) / largest);
        if (!(apart <= worst[level])) worst[level] = apart; // not a number counts
      }
    }
  }
  bool is_same = true;
  for (int level = 1; level <= LEVELS; level++)
    if (const void *kernels = kernels_of(level)) {
      printf("%s: within %.1e\n", name_of(kernels), worst[level]);
      is_same &= worst[level] <= ROUNDING;
    }
  return is_same ? 0 : 1;
}
