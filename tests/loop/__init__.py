"""The loop with real git, a real Prometheus and faults: what every part of it survives."""
