import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import (
    CloseCode,
    Dropped,
    DropPolicy,
    End,
    Open,
    Ping,
    Pong,
    ProtocolError,
    Reset,
    parse_client,
    parse_server,
    serialise,
)
from protocol.words import DropCause

words = st.sampled_from(
    ["open", "ready", "dropped", "error", "going_away", "end", "type", "seqs", "cause", "policy"]
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4),
    max_leaves=8,
)


def test_the_type_comes_first() -> None:
    assert serialise(Ping()) == '{"type":"ping"}'
    assert serialise(Dropped((1,), DropCause.NEWER)) == (
        '{"type":"dropped","seqs":[1],"cause":"newer"}'
    )


@pytest.mark.parametrize("message", [Reset(), End(), Ping(), Pong()])
def test_bare_messages_go_either_way(message: Reset | End | Ping | Pong) -> None:
    assert parse_client(serialise(message)) == message
    assert parse_server(serialise(message)) == message


def test_a_client_opens() -> None:
    assert parse_client('{"type":"open","policy":"every"}') == Open(policy=DropPolicy.EVERY)
    assert parse_client(b'{"type":"open"}') == Open()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hello", "not JSON"),
        ("7", "must be a JSON object, not a number"),
        ("{}", "needs a 'type'"),
        ('{"type":7}', "needs a 'type'"),
        ('{"type":"opne"}', "Unknown message type 'opne'; known are open, reset, end"),
        ('{"type":"ready"}', "Unknown message type 'ready'"),
        ('{"type":"end","now":1}', "end: unknown field 'now'"),
        ('{"type":"\\ud800"}', "half of a surrogate pair"),
    ],
)
def test_a_wrong_message_says_what_is_wrong(text: str, says: str) -> None:
    with pytest.raises(ProtocolError, match=says) as caught:
        parse_client(text)
    assert caught.value.close == CloseCode.BAD_MESSAGE
    str(caught.value).encode()


def test_a_text_message_is_bounded() -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_client(" " * 70000 + "{}")
    assert caught.value.close == CloseCode.TOO_BIG


@given(st.text(max_size=40) | st.binary(max_size=40) | json_values.map(json.dumps))
def test_foreign_text_raises_nothing_but_protocol_errors(text: str | bytes) -> None:
    for parse in (parse_client, parse_server):
        try:
            message = parse(text)
        except ProtocolError as error:
            assert str(error)
        else:
            assert parse(serialise(message)) == message
