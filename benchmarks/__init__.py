"""Benchmarks: one script a question; run each as a module, ``python -m benchmarks.throughput``."""
