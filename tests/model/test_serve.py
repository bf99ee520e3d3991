import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlserver.types import InferenceRequest

from model import artifact, v2
from model.features import UnseenCategory
from model.serve import answer, opened
from model.table import BadInput


def ask(model, body):
    return answer(model, InferenceRequest.model_validate(json.loads(json.dumps(body))))


def test_answers_equal_training_side_predictions_bit_for_bit(version):
    served = opened(version.folder, version.served())
    rows = range(len(next(iter(version.rows.values()))))
    expected = version.model.predict(version.rows).tolist()
    together = ask(served, v2.request(served.app, version.rows, rows))
    assert (together.name, together.shape) == (served.app.output, [len(rows), 1])
    assert list(together.data) == expected
    assert [ask(served, v2.request(served.app, version.rows, [r])).data[0] for r in rows[:200]] == expected[:200]


def test_a_flat_shape_is_as_good(version):
    body = v2.request(version.model.app, version.rows, range(3))
    flat = {"inputs": [{**i, "shape": [3]} for i in body["inputs"]]}
    assert ask(version.model, flat).data == ask(version.model, body).data


def test_a_request_with_one_unseen_category_fails(bad_credit_version):
    model, rows = bad_credit_version.model, bad_credit_version.rows
    with pytest.raises(UnseenCategory, match=r"^PAY_0 = -2: this version never saw that category in training, only -1, 0, "):
        ask(model, v2.request(model.app, rows, range(100)))


def test_no_digest_to_compare_with_is_refused(version):
    with pytest.raises(BadInput) as error:
        opened(version.folder, version.served(MODEL_SHA256=""))
    assert str(error.value) == f"MODEL_SHA256 is not set; must be what `python -m model digest {version.folder}` prints"


def test_no_key_to_verify_with_is_refused(version):
    with pytest.raises(BadInput) as error:
        opened(version.folder, {"MODEL_SHA256": version.sha256})
    assert str(error.value) == (
        "MODEL_SIGNING_KEYS is not set; must be the public keys that may sign, PEM; none is no reason to serve"
    )


def test_a_version_that_is_not_signed_is_refused(version, tmp_path):
    artifact.write(tmp_path, version.trained.files)
    with pytest.raises(BadInput) as error:
        opened(tmp_path, version.served())
    assert (
        str(error.value) == f"{tmp_path}/model.sig: cannot be read (No such file or directory); only signed versions are served"
    )


def test_another_version_than_named_is_refused(version):
    with pytest.raises(BadInput) as error:
        opened(version.folder, version.served(MODEL_SHA256="0" * 64))
    assert str(error.value) == f"{version.folder}: sha256 is {version.sha256}; must be {'0' * 64}"


def test_a_version_that_fails_its_self_test_is_refused(version, tmp_path):
    files = dict(version.trained.files)
    selftest = json.loads(files[artifact.SELFTEST])
    right = selftest["expected"][2]
    selftest["expected"][2] = right * 1.001
    artifact.write(tmp_path, {**files, artifact.SELFTEST: artifact.as_json(selftest)})
    version.sign(tmp_path)
    with pytest.raises(BadInput) as error:
        opened(tmp_path, version.served(MODEL_SHA256=artifact.digest(tmp_path)))
    assert str(error.value) == (f"{tmp_path}: self-test row 3: {version.model.app.output} is {right}; must be {right * 1.001}")


REQUESTS = {
    "a missing input": (lambda i: i[1:], "request: column LIMIT_BAL (credit limit, NT$) is missing"),
    "a shape that does not fit": (
        lambda i: [{**i[0], "shape": [2, 1]}, *i[1:]],
        "request: LIMIT_BAL: shape [2, 1] does not fit its data; must be [rows, 1]",
    ),
    "uneven inputs": (
        lambda i: [{**i[0], "shape": [2, 1], "data": [1, 1]}, *i[1:]],
        "request: column SEX has 1 values where others have 2",
    ),
    "text for a number": (
        lambda i: [{**i[0], "data": ["much"]}, *i[1:]],
        "request: row 1, LIMIT_BAL = 'much': must be a whole number from 1 to 10,000,000",
    ),
    "a category nobody has": (
        lambda i: [i[0], {**i[1], "data": [3]}, *i[2:]],
        "request: row 1, SEX = 3: must be one of 1, 2",
    ),
    "no rows": (
        lambda i: [{**x, "shape": [0, 1], "data": []} for x in i],
        "request: no rows; at least one is needed",
    ),
    "no inputs": (lambda i: [], "request: column LIMIT_BAL (credit limit, NT$) is missing"),
}


@pytest.mark.parametrize(("change", "message"), REQUESTS.values(), ids=REQUESTS)
def test_a_request_that_breaks_the_schema_is_the_senders_mistake(credit_version, change, message):
    model = credit_version.model
    body = v2.request(model.app, credit_version.rows, [0])
    with pytest.raises(BadInput) as error:
        ask(model, {"inputs": change(body["inputs"])})
    assert str(error.value) == message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=3,
)


@given(place=st.integers(0, 22), value=JSON)
def test_any_json_in_any_input_is_answered_or_refused_and_never_breaks_the_server(credit_version, place, value):
    body = v2.request(credit_version.model.app, credit_version.rows, [0])
    body["inputs"][place]["data"] = [value]
    with contextlib.suppress(BadInput, UnseenCategory):
        assert 0 <= ask(credit_version.model, body).data[0] <= 1
