"""Which operator reconciles SeldonDeployments, and which definition they have: the stand-ins, or what two settings name.

    SELDON_OPERATOR=/path/to/manager   run in place of operator.py, without words, with KUBECONFIG and Seldon's own variables
    SELDON_CRD=/path/to/crd.yaml       applied in place of crd/seldondeployment.yaml

The rest stays: kubelet and gateway follow the Deployments and VirtualServices of whichever operator made them.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import yaml

from lab.controlplane.api import Object
from lab.processes import LabError, Process, Processes

KIND = "seldondeployments.machinelearning.seldon.io"
CRD = Path(__file__).resolve().parent / "crd" / "seldondeployment.yaml"
SETTINGS = {  # the real operator's own; what the environment sets already stays
    "ISTIO_ENABLED": "true",
    "ISTIO_GATEWAY": "istio-system/seldon-gateway",
    "POD_NAMESPACE": "seldon-system",
    "SELDON_LOG_LEVEL": "INFO",
}


@dataclass(frozen=True)
class Seldon:
    """The operator's program, None for the stand-in, and the definition's file."""

    operator: Path | None = None
    crd: Path = CRD

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Self:
        """Take the settings; raise LabError naming the one that is wrong."""
        operator, crd = environment.get("SELDON_OPERATOR"), environment.get("SELDON_CRD")
        if operator and not (Path(operator).is_file() and os.access(operator, os.X_OK)):
            raise LabError(f"SELDON_OPERATOR={operator}: not a program; the path of an executable file would be right")
        if crd and not Path(crd).is_file():
            raise LabError(f"SELDON_CRD={crd}: no such file; the path of Seldon's definition, in YAML, would be right")
        found = cls(Path(operator).resolve() if operator else None, Path(crd).resolve() if crd else CRD)
        found.definitions()
        return found

    def definitions(self) -> list[Object]:
        """The definition of SeldonDeployment, with whatever else its file defines."""
        try:
            documents = [item for item in yaml.load_all(self.crd.read_text(), yaml.CSafeLoader) if isinstance(item, dict)]
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise LabError(f"SELDON_CRD={self.crd}: not YAML: {' '.join(str(error).split())}") from None
        defined = [item for item in documents if item.get("kind") == "CustomResourceDefinition"]
        if KIND not in [item["metadata"]["name"] for item in defined]:
            raise LabError(f"SELDON_CRD={self.crd}: no CustomResourceDefinition {KIND} in it")
        return defined

    def start(self, processes: Processes, kubeconfig: Path) -> Process | None:
        """Start the operator that was named, if one was."""
        if self.operator is None:
            return None
        environment = {**SETTINGS, **os.environ, "KUBECONFIG": str(kubeconfig)}
        return processes.start("seldon-operator", [str(self.operator)], env=environment)
