"""The whole loop on one machine, without Kubernetes; everything on 127.0.0.1, on free ports.

| file                                       | its part                                                           |
|--------------------------------------------|--------------------------------------------------------------------|
| world.py                                   | puts the parts together, starts and stops them                     |
| setting.py, demo.py, story.py, narrate.py  | the story that `make demo` plays, what git says of it, telling it  |
| report.py, pictures.py, readings.py        | what the demo leaves                                               |
| up.py, control.py                          | the lab to play with, and what can be done to it                   |
| people.py, models.py                       | what people and training do: pull requests, reverts, real models   |
| argocd.py, argocd_api.py, applicationset.py, render.py | stand in for Argo CD                                   |
| seldon.py, pods.py, manifests.py           | stand in for Seldon's operator, the kubelet, the model initializer |
| cluster.py                                 | stands in for the API server                                       |
| envoy.py, prometheus.py, load.py           | the data plane, what counts it, who asks it                        |
| processes.py, tools.py                     | children that never outlive the lab; where programs come from      |
"""
