// What weighted draws of a chunk of cohorts need, and where they go. Plain data, in memory that the caller owns
// (bayes_crlm/inference/native/draws.py names the same things in the same order).
#pragma once
#include "cohorts.h"

enum Hazards { INDEPENDENT_HAZARDS = 0, GAMMA_HAZARDS = 1, WALK_HAZARDS = 2 };

// Log-hazards to be drawn given effects, for `n_signs` x `n_pairs` draws of every case, a case being a cohort
// of the stack; with two signs standard normals of the second half are those of the first, mirrored.
struct HazardDraws {
  const Cohorts *stack;
  const int64_t *cohort_of;            // cases
  int64_t n_cases, n_pairs, n_signs, n_effects, n_parts, n_part_signs, n_modes, n_scale_cells;
  int64_t hazards, n_steps, level, n_components;
  double sd, step_scale_sd;            // of a log-hazard, or of a walk's level; of the step scale's prior
  double first_log_scale, scale_width; // of the cells of step scales
  double prior_constant;
  // priors of the effects, as in density.h
  const int64_t *family, *is_scaled;
  const double *location, *precision, *nu, *mixture;
  // of every case
  const double *log_rate, *constant;
  const double *step_variance;         // cells - 1: of a walk, infinite where a stratum ends
  const double *process_shape, *process_rate; // cells: of a gamma process
  // where hazards are drawn
  const double *mode;                  // parts, or modes x scale cells, x cells; null for a first guess
  const double *mode_effect;           // parts x effects: where independent hazards have these modes
  const int64_t *mode_of;              // parts
  // the draws
  const double *effect;                // cases x signs x pairs x effects
  const int64_t *part;                 // cases x part signs x pairs: both signs' where there is one
  const double *log_step_scale, *log_effect_scale; // cases x pairs
  const uint64_t *seed;                // cases x 32; null to put hazards where their distributions are centred
  double *log_hazard;                  // cases x signs x pairs x cells, or null
  double *log_ratio;                   // cases x signs x pairs
};

// Posterior summaries of weighted draws, how many draws stand behind their 95% limits, and Monte Carlo errors.
struct Summaries {
  int64_t n_cohorts, n_draws, n_quantities, n_probabilities, n_thresholds, n_scrambles; // no errors without scrambles
  const double *value, *weight;          // cohorts x draws x quantities; cohorts x draws, adding up to 1
  const int64_t *scramble;               // cohorts x draws: which one each comes from
  const double *most_size;               // cohorts: errors are at least those of so many independent draws
  const double *scale;                   // cohorts x quantities, by which values are divided; or null
  const double *probability, *threshold; // of the quantiles; below which probabilities are wanted
  double *mean, *sd, *tail_size;         // cohorts x quantities
  double *quantile, *below;              // cohorts x quantities x probabilities, or thresholds
  double *mean_error, *sd_error;         // cohorts x quantities
  double *quantile_error, *below_error;  // as quantile and below
};

// Effects to be drawn in mirrored pairs from the parts of every cohort's proposal, multivariate t distributions around
// modes, and step scales from cells of each part's range. Every scramble has its share of the pairs of each part.
struct EffectDraws {
  int64_t n_cohorts, n_parts, n_pairs, n_terms, n_scrambles, n_scale_cells; // no cells without step scales
  int64_t wide_every;
  double wide_scale, wide_nu, first_log_scale, scale_width;
  const double *centre, *factor, *nu;    // cohorts x parts x terms; x terms, lower triangular; cohorts x parts
  const int64_t *pairs;                  // cohorts x parts
  const double *scale_share;             // cohorts x parts x cells: probabilities within each part's range
  const uint64_t *seed;                  // cohorts x 32
  double *effect;                        // cohorts x 2 x pairs x terms
  double *log_density;                   // cohorts x pairs: of effect and step scale under the pair's own part
  double *log_step_scale;                // cohorts x pairs
  int64_t *scramble;                     // cohorts x pairs: which one each comes from
};

// Patients to be left out of draws.
struct LeftOut {
  int64_t n_draws, n_patients, tail;     // tail: how many of the largest ratios are smoothed
  const double *log_likelihood;          // draws x patients
  const double *log_ratio;               // draws: of posterior to proposal
  double *elpd, *pareto_k, *lpd;         // patients
};

// Log densities of effects under all parts of such proposals.
struct EffectDensities {
  int64_t n_cohorts, n_parts, n_draws, n_terms;
  double wide_scale, wide_nu;
  const double *centre, *factor, *nu, *wide_share; // the last cohorts x parts
  const double *effect;                  // cohorts x draws x terms
  double *log_density;                   // cohorts x parts x draws
};
