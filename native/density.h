// The density's and the coordinates' arrays, as the kernels read them. Plain data: the same for all
// instruction sets. Everything points into memory that the caller owns.
#pragma once
#include <stddef.h>
#include <stdint.h>

// where a block of unknowns enters the log hazard
enum Enters { COLUMNS = 0, CELLS = 1, GROUPING = 2 };
// how its values are made from unknowns: as they are; a scale times them; a walk of scaled steps;
// a global times a local scale times them
enum Form { PLAIN = 0, SCALED = 1, WALK = 2, HORSESHOE = 3 };
enum Family { NORMAL = 0, STUDENT_T = 1, LAPLACE = 2, MIXTURE = 3, LOG_GAMMA = 4 };
enum ScalePrior { HALF_NORMAL = 0, HALF_T = 1 };

// Priors of single unknowns (docs/model.md, "Priors of effects"), one an element.
struct Elements {
  int64_t n_components;                     // of mixtures
  const int64_t *family;
  const double *location, *precision, *nu;  // parameters; `precision` is 1 / scale
  const double *mixture;                    // per element and component: log weight, mean, 1 / sd
};

// Unknowns that enter in one way (docs/model.md, "The density"): as `n_fields` rows over the intervals,
// of which row k is added `loading[c, k]` times to class c of the hazard table; as `size` columns from
// `first` on; or as the groups of grouping `first`.
struct Block {
  int64_t enters, form, first, size, n_fields;
  int64_t n_elements;                       // unknowns with a prior of their own: all values, or steps
  int64_t at, scale_at, level_at, local_at; // positions in the vector; -1 where there is none
  int64_t scale_prior, anchor;
  double scale_nu, scale_size;              // of the scale's prior
  double level_mean, level_sd;
  Elements elements;
  const double *loading;                    // classes x fields
  const double *step_sd, *centre;           // intervals - 1; fields x intervals
};

// Rows sorted by class and interval, in groups of eight that share both; a last group is filled up
// with rows of weight 0. Of each: the columns, then weights, then weighted time in the interval.
struct Rows {
  int64_t n_columns, n_cells, n_octets, n_groupings;
  const int64_t *octet_end;  // after the last octet of each cell
  const double *octets;      // octets x (columns + 2) x 8
  const int64_t *group;      // octets x groupings x 8: places among the groups of all groupings
};

struct Density {
  int64_t n_intervals, n_classes, n_groups, n_unknowns, n_blocks, n_strata; // groups: of all groupings
  int64_t is_integrated;     // hazards of a gamma process are integrated out
  double constant;           // what of the log density depends on no unknown
  Rows rows;
  const double *width;       // of intervals
  const double *events;      // classes x intervals
  const double *event_design, *event_group; // sums over events of columns; events of all groups
  const int64_t *stratum_of_class;
  const double *shape, *rate;               // strata x intervals: after the events, before time
  const Block *blocks;
};

// Scaled unknowns with one rotation: of a walk the eigenbasis of its information, else none.
struct ScaledPart {
  int64_t first, size;       // among the scaled unknowns; `first` is a multiple of eight
  int64_t shares_scale;      // all have one and the same scale
  const double *rotation;    // size x padded size, column by column; null where there is none
  const double *transposed;  // row by row
};

// A change of coordinates (docs/model.md, "Sampling"). Arrays over whitened unknowns are padded
// to eight, those over scaled ones part by part.
struct Map {
  int64_t n_rest, n_scaled, n_scales, n_parts, rest8, scaled8;
  const int64_t *rest, *scaled, *scales, *scales_of; // scaled: -1 in the padding; two scales each
  const ScaledPart *parts;
  const double *centre, *root, *root_transposed;     // rest; rest x rest8 by column; by row
  const double *gain, *gain_transposed;              // scaled x rest8; rest x scaled8
  const double *precision, *linear, *pivot, *scale_centre;
};

// Another model's log density: fills the gradient; not 0 where it could not be found.
typedef int64_t (*Foreign)(const double *vector, double *slope, double *value, void *data);

struct Target {
  const Density *density;    // null for a foreign one
  const Map *map;
  Foreign foreign;
  void *foreign_data;
  int64_t n_unknowns;
};

struct Posteriors; // cohorts.h
struct Modes;

// What differs by instruction set.
struct Kernels {
  const char *name;
  double (*log_density)(const Density *, const double *vector, double *slope);
  double (*to_model)(const Map *, const double *point, double *vector);
  void (*to_sampler_gradient)(const Map *, const double *point, const double *vector,
                              const double *slope, double *gradient);
  int64_t (*log_density_callback)(uint64_t, const double *, double *, double *, void *);
  int64_t (*expand_callback)(uint64_t, uint64_t, const double *, double *, void *);
  void (*exponentials)(const double *, double *, int64_t);
  int64_t (*sample_hazards)(const struct HazardDraws *);
  int64_t (*sample_process)(const Density *, const double *vectors, int64_t n, const uint64_t *seed, double *log_hazard);
  void (*find_modes)(const Posteriors *, const Modes *, int64_t first, int64_t end);
  void (*weigh_without_groups)(const Posteriors *, const double *at, double *value, double *hazards);
  void (*log_integrals)(const double *hazards, const double *events, const double *scale, int64_t, int64_t, double *);
  void (*sample_groups)(const double *hazards, const double *events, const double *scale, const double *uniform, int64_t,
                        int64_t, double *);
  int64_t (*pareto_smooth)(const double *log_ratio, int64_t rows, int64_t draws, int64_t tail, double *log_weight,
                           double *shape);
  int64_t (*left_out)(const struct LeftOut *);
  int64_t (*summarise)(const struct Summaries *);
  int64_t (*sample_effects)(const struct EffectDraws *);
  int64_t (*weigh_effects)(const struct EffectDensities *);
};
extern "C" const Kernels crlm_kernels_baseline, crlm_kernels_avx2, crlm_kernels_avx512;
