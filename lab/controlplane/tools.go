//go:build tools

// Package controlplane names the programs that the control plane is made of.
package controlplane

import (
	_ "github.com/argoproj/argo-cd/v3/cmd"
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kube-controller-manager"
	_ "sigs.k8s.io/kustomize/kustomize/v5"
)
