// Modules of which only the resource definitions (CRDs) are read; go.sum holds their hashes.
module crds

go 1.25.5

require (
	github.com/prometheus-operator/prometheus-operator v0.85.0
	istio.io/api v1.28.0
)
