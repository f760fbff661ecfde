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
