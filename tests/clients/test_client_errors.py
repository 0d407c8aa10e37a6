import pytest

from clients.python import errors
from protocol import CloseCode


@pytest.mark.parametrize("close", [code for code in CloseCode if code != CloseCode.NORMAL])
def test_every_close_code_has_its_error(close: CloseCode) -> None:
    error = errors.of_close(close, "some_word", "what happened")
    assert type(error) is not errors.Unreachable
    assert (str(error), error.code) == ("what happened", "some_word")


def test_a_close_without_words_reports_its_reason_or_code() -> None:
    assert str(errors.of_close(4503, "no_capacity")).endswith(": no_capacity.")
    assert str(errors.of_close(4503, "")).endswith(": 4503.")
    assert isinstance(errors.of_close(None, ""), errors.Unreachable)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.Refused),
        (401, errors.Denied),
        (404, errors.NotFound),
        (413, errors.TooLarge),
        (422, errors.Refused),
        (500, errors.ServerFault),
        (503, errors.NoCapacity),
    ],
)
def test_statuses(status: int, kind: type[errors.ClientError]) -> None:
    error = errors.of_status(status, "why", "word")
    assert type(error) is kind
    assert (str(error), error.code) == ("why", "word")
    assert str(status) in str(errors.of_status(status, ""))


def test_the_tree_is_drawn_whole() -> None:
    drawn = errors.__doc__ or ""
    kinds = [one for one in vars(errors).values() if isinstance(one, type)]
    mine = [one for one in kinds if issubclass(one, errors.ClientError)]
    assert len(mine) > 10
    assert all(one.__name__ in drawn for one in mine)
