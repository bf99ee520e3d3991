"""The whole loop on one machine, without Kubernetes: what `make demo` and the scenario tests run."""
