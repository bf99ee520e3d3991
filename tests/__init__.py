"""What is proven, by what it proves; `python -m tests` runs it in stages, `python -m tests.check` what needs no processes."""
