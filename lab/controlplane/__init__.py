"""A real control plane as plain processes on 127.0.0.1: etcd, kube-apiserver, kube-controller-manager, Argo CD.

| file                                | its part                                                                  |
|-------------------------------------|---------------------------------------------------------------------------|
| go.mod, go.sum, tools.go, crds/     | what is built, in which versions, with which hashes                       |
| build.py                            | builds it, once, into .cache/controlplane                                 |
| kubernetes.py, api.py               | etcd, API server, controller manager; a client for them                   |
| argocd.py                           | Argo CD's five processes, on its own manifests and `argocd/install`       |
| remote.py                           | the git remote, over HTTP, with push rights by user and the webhook       |
| operator.py, crd/                   | stand in for Seldon's operator: children, routes, status                  |
| kubelet.py                          | stands in for the kubelet: runs what Pods would run, patches their status |
| seldon.py                           | which operator and definition: the stand-ins, or those that settings name |
| monitors.py                         | stands in for the Prometheus operator: PodMonitors become targets         |
| letters.py                          | where Argo CD's letters to people go                                      |
| gateway.py                          | Envoy follows VirtualServices and ready Pods                              |
| world.py                            | all of it, started in order and stopped together                          |

`python -m lab.controlplane build` builds; `make e2e` builds and runs tests/e2e on it; `operator` runs the stand-in for Seldon's
operator as a program of its own.
"""
