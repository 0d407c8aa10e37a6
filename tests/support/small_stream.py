"""A pushed stream of pictures that are as small as the model, whose masks are not sent."""

WISH = {
    "type": "open",
    "input": "rgb24",
    "width": 16,
    "height": 16,
    "output": "none",
    "size": "model",
    "policy": "every",
}
