"""Kinds of terms, each as blocks of unknowns."""
