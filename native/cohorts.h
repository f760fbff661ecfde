// Stacks of cohorts, as the kernels of modes and of weighted draws read them. Plain data, in memory
// that the caller owns.
#pragma once
#include "density.h"

// One cohort. Its rows are those of a density (density.h): sorted by class and by the interval in which
// they stop, in groups of eight; a row that enters late is two, one of negative weight up to its entry.
struct Cohort {
  Rows rows;
  const double *width;        // of intervals
  const double *events;       // strata x intervals
  const double *event_design; // effects: sums over events of columns, and of `loading`
  const double *event_group;  // groups
};

// Cohorts with the same numbers of columns, intervals, classes and effects. Of the effects the columns'
// come first; of each of the `n_loaded` others `loading` is added to the log hazard of a cell.
struct Cohorts {
  int64_t n_cohorts, n_columns, n_intervals, n_classes, n_strata, n_loaded, n_groups;
  const int64_t *stratum_of_class; // whose hazards a class has
  const double *loading;           // classes x intervals x loaded
  const Cohort *cohorts;
};

// The caller's arrays of a stack, rows in any order but class by class (bayes_crlm/inference/native/stacks.py
// names the same things in the same order).
struct CohortArrays {
  int64_t n_cohorts, n_rows, n_columns, n_intervals, n_classes, n_strata, n_loaded, n_groups, is_delayed;
  const int64_t *class_end, *stratum_of_class, *stop_interval, *entry_interval, *group; // the last of rows
  const double *loading, *design, *width, *stop_within, *entry_within, *count, *events, *event_design, *event_group;
};

// Posteriors of log-hazards and effects, one a case: a cohort given all scales (docs/model.md, "Modes").
// Unknowns are the log-hazards of all strata (cells), effects, and groups' effects.
struct Posteriors {
  int64_t n_cases;
  const Cohorts *stack;
  const int64_t *cohort;          // of each case
  Elements effects;               // priors of the effects, each in units of its scale
  const double *effect_scale;     // cases x effects
  const double *centre;           // cases: of the log-hazards with a normal prior
  const double *level_precision;  // cells: of that prior, 0 where there is none
  const double *step_precision;   // cases x (cells - 1): of a walk's steps; null without one
  const double *shape, *rate;     // cases x cells: of a gamma process; null without one
  const double *group_precision;  // cases; null without groups
  const double *constant;         // cases: what depends on no unknown
};

// Where modes are searched for, and what is found; cases first. A start that is no number stands for every
// interval's own rate and no effects. `information` is that of cells and effects, groups eliminated.
struct Modes {
  double rise_tolerance;
  int64_t most_steps;             // 0: value, gradient and information at the start
  double *at, *value, *gradient, *information, *log_determinant_of_groups;
  int64_t *converged;
};
