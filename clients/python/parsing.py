"""Shared by the subcommands' arguments: the parser, its errors and the types of values."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from typing import Any, NoReturn

from clients.python.addresses import shown, web_address
from clients.python.errors import ClientError

WRONG_USE = 2
DEFAULT_URL = "http://127.0.0.1:8000"


class OneLineParser(ArgumentParser):
    """Reports wrong usage in one sentence that points to --help, instead of printing the usage."""

    def error(self, message: str) -> NoReturn:
        message = shown(message)  # it may quote an address with a password
        self.exit(
            WRONG_USE, f"{self.prog}: error: {message.rstrip('.')}; see {self.prog} --help.\n"
        )


def add_word(command: ArgumentParser, name: str, words: Any, meaning: str) -> None:
    first = next(iter(words))
    choices = [str(word) for word in words]
    command.add_argument(
        name, choices=choices, default=str(first), help=f"{meaning} (default: {first})"
    )


def add_url(command: ArgumentParser) -> None:
    command.add_argument(
        "--url",
        type=server_address,
        default=DEFAULT_URL,
        help=f"the server (default: {DEFAULT_URL})",
    )


def add_command(commands: Any, name: str, short: str, long: str, *examples: str) -> ArgumentParser:
    command: ArgumentParser = commands.add_parser(
        name,
        help=short,
        description=f"{short[0].upper()}{short[1:]}. {long}",
        epilog=example_lines(*examples),
        formatter_class=RawDescriptionHelpFormatter,
    )
    command.set_defaults(parser=command)
    return command


def example_lines(*lines: str) -> str:
    return "examples:\n" + "\n".join(f"  {line}" for line in lines)


def server_address(text: str) -> str:
    try:
        web_address(text)
    except ClientError as error:
        raise ArgumentTypeError(str(error)) from error
    return text


def positive_number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e9:
        raise ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def whole_number(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= 10_000:
        raise ArgumentTypeError(f"{text!r} is not a whole number from 1 to 10000")
    return int(text)


def picture_size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) * int(height)):
        raise ArgumentTypeError(f"{text!r} is not a size like 480x360")
    return int(width), int(height)
