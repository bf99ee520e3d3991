"""The MLServer runtime of both apps: raw columns in, one prediction per row out, by the code that training ran.

    MLSERVER_MODEL_IMPLEMENTATION=model.serve.Runtime MLSERVER_MODEL_URI=DIR MODEL_SHA256=... \
      MODEL_SIGNING_KEYS="$(cat signing.pub)" mlserver start DIR

Before it is ready: the folder is signed by one of the keys in MODEL_SIGNING_KEYS, has the digest that MODEL_SHA256 names, and
predicts for its self-test rows what the training side predicted. Otherwise the process ends with a message and exit code 1. It
must end: MLServer drops a model that fails to load, and a server without models calls itself ready on /v2/health/ready.

Answers: 400 where the request breaks the schema (the sender's mistake); 500 where the request is good and this version
cannot predict for it, as with a category its training never saw (the model's mistake, and what the error rate counts).
"""

import math
import os
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from mlserver import MLModel
from mlserver.errors import MLServerError
from mlserver.types import InferenceRequest, InferenceResponse, MetadataTensor, RequestInput, ResponseOutput

from model import artifact, signature, v2
from model.app import Model, open_model, selftest, skip_unused_imports
from model.features import UnseenCategory
from model.table import BadInput, Value

SAME = 1e-6  # relative; float32 and another libm may differ in the last digits, a wrong feature does not stop there


class Runtime(MLModel):  # type: ignore[misc]  # mlserver ships no types
    """Serves the version in the folder MLSERVER_MODEL_URI, which says itself which app it is of."""

    _model: Model

    async def load(self) -> bool:
        """Verify, open, self-test; True means ready. Any failure ends the process."""
        skip_unused_imports()
        try:
            self._model = opened(Path(self.settings.parameters.uri or ""), os.environ)
        except BadInput as error:
            _end(str(error))
        except Exception as error:
            traceback.print_exc()
            _end(repr(error))
        app = self._model.app
        self.inputs = [MetadataTensor(name=c.name, datatype=c.datatype, shape=[-1, 1]) for c in app.columns]
        self.outputs = [MetadataTensor(name=app.output, datatype="FP64", shape=[-1, 1])]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer one request of any number of rows; one bad row fails the request."""
        try:
            output = answer(self._model, payload)
        except BadInput as error:
            raise MLServerError(str(error), 400) from error
        except UnseenCategory as error:
            raise MLServerError(str(error), 500) from error
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=[output])


def opened(folder: Path, environment: Mapping[str, str]) -> Model:
    """The version in `folder`, verified and self-tested; raises BadInput if it must not be served."""
    keys, sha256 = environment.get(signature.KEYS), environment.get("MODEL_SHA256")
    if not keys:
        raise BadInput(f"{signature.KEYS} is not set; must be the public keys that may sign, PEM; none is no reason to serve")
    if not sha256:
        raise BadInput(f"MODEL_SHA256 is not set; must be what `python -m model digest {folder}` prints")
    artifact.verify(folder, sha256)
    signature.verify(folder, keys)
    model = open_model(folder)
    rows, expected = selftest(folder)
    request = InferenceRequest.model_validate(v2.request(model.app, rows, range(len(expected))))
    for row, (want, got) in enumerate(zip(expected, answer(model, request).data, strict=True), 1):
        if not math.isclose(want, got, rel_tol=SAME):
            raise BadInput(f"{folder}: self-test row {row}: {model.app.output} is {got}; must be {want}")
    return model


def answer(model: Model, request: InferenceRequest) -> ResponseOutput:
    """The predictions for a request, a tensor of shape (rows, 1); raises BadInput or UnseenCategory."""
    predicted = model.predict({tensor.name: _values(tensor) for tensor in request.inputs})
    return ResponseOutput(name=model.app.output, shape=[len(predicted), 1], datatype="FP64", data=predicted.tolist())


def _values(tensor: RequestInput) -> list[Value]:
    values: object = tensor.data.root
    if not isinstance(values, list) or math.prod(tensor.shape) != len(values):
        raise BadInput(f"request: {tensor.name}: shape {tensor.shape} does not fit its data; must be [rows, 1]")
    return values


def _end(reason: str) -> NoReturn:
    """End at once: an exception would be buried under the tracebacks of the servers that it tears down."""
    print(f"model not served: {reason}", file=sys.stderr, flush=True)
    os._exit(1)
