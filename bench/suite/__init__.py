"""What the benchmarks of bench/test_*.py have in common: their cases, how one is timed, what is saved."""
