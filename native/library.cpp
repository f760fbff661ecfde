// What Python calls through ctypes: which instruction set, and arrays laid out as the kernels want them.
// No standard C++ library, no exceptions, no Python headers: any C++17 compiler's driver makes it, once
// for all versions of Python. The caller owns all memory.
#include <string.h>
#include "density.h"
#include "draws.h"

#if defined(_WIN32)
#define EXPORT extern "C" __declspec(dllexport)
#else
#define EXPORT extern "C" __attribute__((visibility("default")))
#endif

#if defined(__x86_64__)
#include <cpuid.h>
// By hand: a compiler's own answer was wrong under one tested version of Zig. The processor must know
// the instructions and the system must keep the registers.
static int level_of_processor() {
  unsigned a, b, c, d, kept, high;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return 1;
  const bool has_xsave = c >> 27 & 1, has_avx = c >> 28 & 1, has_fma = c >> 12 & 1;
  if (!has_xsave || !has_avx || !has_fma) return 1;
  __asm__("xgetbv" : "=a"(kept), "=d"(high) : "c"(0));
  if ((kept & 6) != 6 || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 1;
  const bool has_avx2 = b >> 5 & 1, has_bmi2 = b >> 8 & 1;
  if (!has_avx2 || !has_bmi2) return 1;
  const unsigned avx512 = 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31; // F, DQ, CD, BW, VL
  return (b & avx512) == avx512 && (kept & 0xe0) == 0xe0 ? 3 : 2;
}
static const Kernels *kernels_of(int level) {
  static const int best = level_of_processor(); // asking traps in virtual machines: once
  if (level == 0) level = best;
  if (level > best) return 0;
  return level == 3 ? &crlm_kernels_avx512 : level == 2 ? &crlm_kernels_avx2 : level == 1 ? &crlm_kernels_baseline : 0;
}
#else
static const Kernels *kernels_of(int level) { return level <= 1 ? &crlm_kernels_baseline : 0; }
#endif

// Digest of the sources that this library was made from: Python refuses one of other sources.
EXPORT const char *crlm_sources() { return CRLM_SOURCES; }
// Level 0 is the best that the processor has; 1 baseline, 2 AVX2, 3 AVX-512; null where it lacks it.
EXPORT const Kernels *crlm_kernels(int level) { return kernels_of(level); }
EXPORT const char *crlm_name(const Kernels *kernels) { return kernels->name; }
EXPORT double crlm_log_density(const Kernels *kernels, const Density *d, const double *vector, double *slope) {
  return kernels->log_density(d, vector, slope);
}
EXPORT double crlm_to_model(const Kernels *kernels, const Map *m, const double *point, double *vector) {
  return kernels->to_model(m, point, vector);
}
EXPORT void crlm_to_sampler_gradient(const Kernels *kernels, const Map *m, const double *point, const double *vector,
                                     const double *slope, double *gradient) {
  kernels->to_sampler_gradient(m, point, vector, slope, gradient);
}
EXPORT void *crlm_log_density_callback(const Kernels *kernels) { return (void *)kernels->log_density_callback; }
EXPORT void *crlm_expand_callback(const Kernels *kernels) { return (void *)kernels->expand_callback; }
EXPORT void crlm_exponentials(const Kernels *kernels, const double *from, double *to, int64_t n) {
  kernels->exponentials(from, to, n);
}
EXPORT int64_t crlm_sample_hazards(const Kernels *kernels, const HazardDraws *draws) {
  return kernels->sample_hazards(draws);
}
EXPORT int64_t crlm_sample_process(const Kernels *kernels, const Density *d, const double *vectors, int64_t n,
                                   const uint64_t *seed, double *log_hazard) {
  return kernels->sample_process(d, vectors, n, seed, log_hazard);
}
EXPORT void crlm_find_modes(const Kernels *kernels, const Posteriors *p, const Modes *found, int64_t first, int64_t end) {
  kernels->find_modes(p, found, first, end);
}
EXPORT void crlm_weigh_without_groups(const Kernels *kernels, const Posteriors *p, const double *at, double *value,
                                      double *hazards) {
  kernels->weigh_without_groups(p, at, value, hazards);
}
// Of (draws, groups): hazards, what is found; of draws: scale; of groups: events.
EXPORT void crlm_log_integrals(const Kernels *kernels, const double *hazards, const double *events, const double *scale,
                               int64_t draws, int64_t groups, double *found) {
  kernels->log_integrals(hazards, events, scale, draws, groups, found);
}
EXPORT void crlm_sample_groups(const Kernels *kernels, const double *hazards, const double *events, const double *scale,
                               const double *uniform, int64_t draws, int64_t groups, double *found) {
  kernels->sample_groups(hazards, events, scale, uniform, draws, groups, found);
}
EXPORT int64_t crlm_pareto_smooth(const Kernels *kernels, const double *log_ratio, int64_t rows, int64_t draws,
                                  int64_t tail, double *log_weight, double *shape) {
  return kernels->pareto_smooth(log_ratio, rows, draws, tail, log_weight, shape);
}
EXPORT int64_t crlm_left_out(const Kernels *kernels, const LeftOut *left_out) { return kernels->left_out(left_out); }
EXPORT int64_t crlm_sample_effects(const Kernels *kernels, const EffectDraws *draws) { return kernels->sample_effects(draws); }
EXPORT int64_t crlm_weigh_effects(const Kernels *kernels, const EffectDensities *d) { return kernels->weigh_effects(d); }
EXPORT int64_t crlm_summarise(const Kernels *kernels, const Summaries *summaries) { return kernels->summarise(summaries); }
EXPORT double crlm_repeat(const Kernels *kernels, const Target *target, double *point, double *gradient, int64_t times) {
  double value = 0.0; // many calls of the callback, to time it
  for (int64_t i = 0; i < times; i++) {
    point[0] += 1e-9;
    kernels->log_density_callback((uint64_t)target->n_unknowns, point, gradient, &value, (void *)target);
  }
  return value;
}

namespace {
// The caller's flat arrays, read one after the other.
struct Reader {
  const double *floats;
  const int64_t *integers;
  const double *take_floats(int64_t n) { const double *taken = floats; floats += n; return taken; }
  const int64_t *take_integers(int64_t n) { const int64_t *taken = integers; integers += n; return taken; }
  double next_float() { return *floats++; }
  int64_t next_integer() { return *integers++; }
};

// Memory handed out in pieces of 64 bytes; counts only where there is none.
struct Arena {
  char *memory;
  int64_t used;
  void *take(int64_t n_bytes) {
    char *taken = memory ? memory + used : 0;
    used += (n_bytes + 63) / 64 * 64;
    return taken;
  }
  double *doubles(int64_t n) { return (double *)take(n * (int64_t)sizeof(double)); }
  int64_t *integers(int64_t n) { return (int64_t *)take(n * (int64_t)sizeof(int64_t)); }
};

int64_t padded(int64_t n) { return (n + 7) / 8 * 8; }

// Rows of one cell fill whole octets; what is left of the last has weight 0 and group 0.
void lay_rows(Rows &rows, Arena &arena, Reader &in, int64_t n_rows) {
  const int64_t P = rows.n_columns, F = rows.n_groupings;
  const int64_t *bounds = in.take_integers(rows.n_cells + 1), *group = in.take_integers(F * n_rows);
  const double *within = in.take_floats(n_rows), *count = in.take_floats(n_rows), *columns = in.take_floats(P * n_rows);
  int64_t *end = arena.integers(rows.n_cells), n_octets = 0;
  for (int64_t cell = 0; cell < rows.n_cells; cell++) {
    n_octets += (bounds[cell + 1] - bounds[cell] + 7) / 8;
    if (end) end[cell] = n_octets;
  }
  double *octets = arena.doubles(n_octets * (P + 2) * 8);
  int64_t *groups = arena.integers(n_octets * F * 8);
  rows.n_octets = n_octets, rows.octet_end = end, rows.octets = octets, rows.group = groups;
  if (!octets) return;
  for (int64_t cell = 0, octet = 0; cell < rows.n_cells; cell++)
    for (int64_t first = bounds[cell]; first < bounds[cell + 1]; first += 8, octet++)
      for (int64_t lane = 0; lane < 8; lane++) {
        const int64_t row = first + lane;
        const bool is_row = row < bounds[cell + 1];
        double *to = octets + octet * (P + 2) * 8 + lane;
        for (int64_t k = 0; k < P; k++) to[k * 8] = is_row ? columns[k * n_rows + row] : 0.0;
        to[P * 8] = is_row ? count[row] : 0.0;
        to[(P + 1) * 8] = is_row ? within[row] : 0.0;
        for (int64_t f = 0; f < F; f++) groups[(octet * F + f) * 8 + lane] = is_row ? group[f * n_rows + row] : 0;
      }
}

Block read_block(Reader &in, int64_t n_classes, int64_t n_intervals) {
  Block b;
  b.enters = in.next_integer(), b.form = in.next_integer(), b.first = in.next_integer(), b.size = in.next_integer();
  b.n_fields = in.next_integer(), b.n_elements = in.next_integer(), b.at = in.next_integer();
  b.scale_at = in.next_integer(), b.level_at = in.next_integer(), b.local_at = in.next_integer();
  b.scale_prior = in.next_integer(), b.anchor = in.next_integer(), b.elements.n_components = in.next_integer();
  b.scale_nu = in.next_float(), b.scale_size = in.next_float(), b.level_mean = in.next_float(), b.level_sd = in.next_float();
  Elements &e = b.elements;
  e.family = in.take_integers(b.n_elements);
  e.location = in.take_floats(b.n_elements), e.precision = in.take_floats(b.n_elements);
  e.nu = in.take_floats(b.n_elements), e.mixture = in.take_floats(3 * e.n_components * b.n_elements);
  b.loading = in.take_floats(n_classes * b.n_fields);
  const bool is_walk = b.form == WALK;
  b.step_sd = in.take_floats(is_walk ? n_intervals - 1 : 0);
  b.centre = in.take_floats(is_walk ? b.n_fields * n_intervals : 0);
  return b;
}
} // namespace

// Lays a density out in zeroed memory; without memory only counts. Gives the bytes it takes. The first two
// arrays of the caller must live as long as the density; those of the rows are copied.
EXPORT int64_t crlm_lay_density(void *memory, const double *floats, const int64_t *integers, const double *row_floats,
                                const int64_t *row_integers) {
  Reader in = {floats, integers}, of_rows = {row_floats, row_integers};
  Arena arena = {(char *)memory, 0};
  Density counted, *placed = (Density *)arena.take(sizeof(Density)), &d = placed ? *placed : counted;
  d.rows.n_columns = in.next_integer(), d.n_intervals = in.next_integer(), d.n_classes = in.next_integer();
  d.rows.n_groupings = in.next_integer(), d.n_groups = in.next_integer();
  const int64_t n_rows = in.next_integer();
  d.n_unknowns = in.next_integer(), d.n_blocks = in.next_integer(), d.n_strata = in.next_integer();
  d.is_integrated = in.next_integer();
  d.constant = in.next_float();
  const int64_t cells = d.n_classes * d.n_intervals, of_process = d.is_integrated ? d.n_strata * d.n_intervals : 0;
  d.stratum_of_class = in.take_integers(d.n_classes);
  d.width = in.take_floats(d.n_intervals), d.events = in.take_floats(cells);
  d.event_design = in.take_floats(d.rows.n_columns), d.event_group = in.take_floats(d.n_groups);
  d.shape = in.take_floats(of_process), d.rate = in.take_floats(of_process);
  d.rows.n_cells = cells;
  lay_rows(d.rows, arena, of_rows, n_rows);
  Block *blocks = (Block *)arena.take(d.n_blocks * (int64_t)sizeof(Block));
  d.blocks = blocks;
  for (int64_t b = 0; b < d.n_blocks; b++) {
    const Block read = read_block(in, d.n_classes, d.n_intervals);
    if (blocks) blocks[b] = read;
  }
  return arena.used;
}

// The same for a change of coordinates.
EXPORT int64_t crlm_lay_map(void *memory, const double *floats, const int64_t *integers) {
  Reader in = {floats, integers};
  Arena arena = {(char *)memory, 0};
  Map counted, *placed = (Map *)arena.take(sizeof(Map)), &m = placed ? *placed : counted;
  const int64_t R = m.n_rest = in.next_integer(), S = m.n_scaled = in.next_integer();
  m.n_scales = in.next_integer(), m.n_parts = in.next_integer();
  m.rest = in.take_integers(R);
  const int64_t *scaled = in.take_integers(S);
  m.scales = in.take_integers(m.n_scales);
  const int64_t *scales_of = in.take_integers(2 * S), *sizes = in.take_integers(m.n_parts);
  const int64_t *is_rotated = in.take_integers(m.n_parts), *shares = in.take_integers(m.n_parts);
  m.rest8 = padded(R), m.scaled8 = 0;
  for (int64_t p = 0; p < m.n_parts; p++) m.scaled8 += padded(sizes[p]);
  ScaledPart *parts = (ScaledPart *)arena.take(m.n_parts * (int64_t)sizeof(ScaledPart));
  int64_t *to_scaled = arena.integers(m.scaled8), *to_scales_of = arena.integers(2 * m.scaled8);
  double *centre = arena.doubles(m.rest8), *root = arena.doubles(R * m.rest8), *transposed = arena.doubles(R * m.rest8);
  double *gain = arena.doubles(m.scaled8 * m.rest8), *gain_transposed = arena.doubles(R * m.scaled8);
  double *precision = arena.doubles(m.scaled8), *linear = arena.doubles(m.scaled8), *pivot = arena.doubles(m.scaled8);
  m.parts = parts, m.scaled = to_scaled, m.scales_of = to_scales_of, m.centre = centre, m.root = root;
  m.root_transposed = transposed, m.gain = gain, m.gain_transposed = gain_transposed;
  m.precision = precision, m.linear = linear, m.pivot = pivot;
  const double *from_centre = in.take_floats(R), *from_root = in.take_floats(R * R), *from_gain = in.take_floats(R * S);
  const double *from_precision = in.take_floats(S), *from_linear = in.take_floats(S), *from_pivot = in.take_floats(S);
  m.scale_centre = in.take_floats(m.n_scales);
  if (memory) {
    memcpy(centre, from_centre, (size_t)R * sizeof(double));
    for (int64_t i = 0; i < R; i++)
      for (int64_t j = 0; j <= i; j++) root[j * m.rest8 + i] = transposed[i * m.rest8 + j] = from_root[i * R + j];
    for (int64_t k = 0; k < m.scaled8; k++) to_scaled[k] = to_scales_of[2 * k] = to_scales_of[2 * k + 1] = -1;
  }
  for (int64_t p = 0, from = 0, first = 0; p < m.n_parts; p++, first += padded(sizes[p - 1])) {
    const int64_t n = sizes[p], wide = padded(n), n_rotation = is_rotated[p] ? n * wide : 0;
    const double *rotation = in.take_floats(is_rotated[p] ? n * n : 0);
    double *columns = arena.doubles(n_rotation), *rows = arena.doubles(n_rotation);
    if (memory) {
      parts[p] = {first, n, shares[p], n_rotation ? columns : 0, n_rotation ? rows : 0};
      for (int64_t k = 0; k < n; k++) {
        const int64_t at = from + k;
        to_scaled[first + k] = scaled[at];
        memcpy(to_scales_of + 2 * (first + k), scales_of + 2 * at, 2 * sizeof(int64_t));
        precision[first + k] = from_precision[at], linear[first + k] = from_linear[at], pivot[first + k] = from_pivot[at];
        for (int64_t i = 0; i < R; i++)
          gain[(first + k) * m.rest8 + i] = gain_transposed[i * m.scaled8 + first + k] = from_gain[i * S + at];
        for (int64_t j = 0; n_rotation && j < n; j++) columns[j * wide + k] = rows[k * wide + j] = rotation[k * n + j];
      }
    }
    from += n;
  }
  return arena.used;
}

// What the callbacks work on: a density of this library's, or another one, in coordinates.
EXPORT int64_t crlm_lay_target(void *memory, const Density *d, const Map *m, Foreign foreign, void *foreign_data) {
  if (memory) {
    const int64_t n = m->n_rest + m->n_scaled + m->n_scales;
    *(Target *)memory = {d, m, foreign, foreign_data, n};
  }
  return sizeof(Target);
}

#include "cohorts.inc"
