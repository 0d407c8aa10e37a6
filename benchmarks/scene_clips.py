"""Synthetic footage with known cuts, for the scene-cut detector's tests and figures.

A world is a large picture of coloured noise of several scales, about as rough as real pictures. A
camera looks at a part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import NDArray
from PIL import Image

from server.frame import Pixels

AnyArray: TypeAlias = NDArray[Any]

HEIGHT, WIDTH = 352, 480
WORLD = (3 * HEIGHT, 3 * WIDTH)
MIDDLE = (HEIGHT, WIDTH)


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """One picture, its time in seconds, and whether it is the first of another scene."""

    pixels: Pixels
    pts: float
    is_cut: bool = False


Clip = Iterator[Shown]


def world(random: Generator) -> Pixels:
    """Return a large picture, unlike any other."""
    total = np.zeros((*WORLD, 3), np.float32)
    for side, strength in ((4, 60), (12, 40), (40, 25), (160, 15)):
        coarse = random.normal(0, 1, (side, side * 4 // 3, 3)).astype(np.float32)
        coarse = 0.8 * coarse.mean(2, keepdims=True) * 1.7 + 0.4 * coarse
        total += strength * np.stack([_enlarged(plane) for plane in np.moveaxis(coarse, 2, 0)], 2)
    base = random.uniform(60, 180) + random.uniform(-40, 40, 3)
    return _levels(total + base.astype(np.float32))


def _enlarged(plane: AnyArray) -> AnyArray:
    height, width = WORLD
    return np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.BICUBIC))


def seen(world: Pixels, top: float = MIDDLE[0], left: float = MIDDLE[1]) -> Pixels:
    """Return the part of a world that begins at this pixel; worlds repeat."""
    rows = (np.arange(HEIGHT) + round(top)) % WORLD[0]
    columns = (np.arange(WIDTH) + round(left)) % WORLD[1]
    part: Pixels = world[rows[:, None], columns]
    return part


def _levels(values: AnyArray) -> Pixels:
    levels: Pixels = np.clip(values, 0, 255).astype(np.uint8)
    return levels


def _noisy(pixels: AnyArray, random: Generator, sigma: float = 2) -> Pixels:
    return _levels(pixels + random.normal(0, sigma, pixels.shape).astype(np.float32))


def still(random: Generator, rate: float, seconds: float) -> Clip:
    """A fixed camera with a sensor's noise."""
    picture = seen(world(random))
    for pts in _times(rate, seconds):
        yield Shown(_noisy(picture, random), pts)


def panning(random: Generator, rate: float, seconds: float) -> Clip:
    """The camera stands still, turns by two thirds of the picture per second, at most a quarter of
    it from one picture to the next, and stands still again."""
    scene, left = world(random), float(MIDDLE[1])
    for pts in _times(rate, seconds):
        yield Shown(_noisy(seen(scene, left=left), random), pts)
        left += min(320 / rate, WIDTH / 4) * (pts % 4 > 1)


def shaking(random: Generator, rate: float, seconds: float) -> Clip:
    """A hand-held camera: each picture is up to 24 pixels away from the previous one's aim."""
    scene = world(random)
    for pts in _times(rate, seconds):
        down, right = random.uniform(-24, 24, 2)
        yield Shown(_noisy(seen(scene, MIDDLE[0] + down, MIDDLE[1] + right), random), pts)


def zooming(random: Generator, rate: float, seconds: float) -> Clip:
    """The camera zooms in and out by a factor of 2 within 4 s."""
    scene = Image.fromarray(world(random))
    for pts in _times(rate, seconds):
        zoom = 2 ** abs(pts / 2 % 2 - 1)
        height, width = HEIGHT * zoom, WIDTH * zoom
        top, left = (WORLD[0] - height) / 2, (WORLD[1] - width) / 2
        box = (left, top, left + width, top + height)
        yield Shown(np.asarray(scene.resize((WIDTH, HEIGHT), box=box)), pts)


def exposure(random: Generator, rate: float, seconds: float) -> Clip:
    """Brightness swings between a third and twice the usual, and lights are switched on and off."""
    picture = seen(world(random)).astype(np.float32)
    for pts in _times(rate, seconds):
        gain = np.exp(np.sin(pts) - 0.3) * (0.5 if pts % 5 > 3 else 1)
        yield Shown(_noisy(picture * gain, random), pts)


def flashing(random: Generator, rate: float, seconds: float) -> Clip:
    """About once a second a flash lights one or two pictures: slightly, strongly, or to plain
    white."""
    picture = seen(world(random)).astype(np.float32)
    lit = 0
    for index, pts in enumerate(_times(rate, seconds)):
        if index % max(6, round(rate)) == 5:
            lit, gain, light = (
                int(random.integers(1, 3)),
                random.uniform(1, 4),
                random.uniform(30, 255),
            )
        flash = picture * gain + light if lit > 0 else picture
        lit -= 1
        yield Shown(_noisy(flash, random), pts)


def black(random: Generator, rate: float, seconds: float) -> Clip:
    """Now and then one to three pictures are black."""
    picture = seen(world(random))
    for index, pts in enumerate(_times(rate, seconds)):
        dark = index % 11 in (5, 6, 7) and index % 33 > 5
        yield Shown(_noisy(0 * picture if dark else picture, random), pts)


def night(random: Generator, rate: float, seconds: float) -> Clip:
    """A dark scene under the noise of a high gain, with a slow sway."""
    scene = world(random)
    for pts in _times(rate, seconds):
        dark = 0.2 * seen(scene, left=MIDDLE[1] + 10 * np.sin(pts))
        yield Shown(_noisy(dark, random, 12), pts)


def filling(random: Generator, rate: float, seconds: float) -> Clip:
    """Something large passes close by, in 3 s: it covers all of the picture for 1 s."""
    background, thing = seen(world(random)), seen(world(random))
    for pts in _times(rate, seconds):
        picture, front = background.copy(), round((pts % 4) * WIDTH)
        covered = slice(max(0, front - 2 * WIDTH), min(front, WIDTH))
        if covered.start < covered.stop:
            picture[:, covered] = np.roll(thing, front, axis=1)[:, covered]
        yield Shown(_noisy(picture, random), pts)


def cuts(random: Generator, rate: float, seconds: float) -> Clip:
    """Scenes of 1 to 2 s, at least 3 pictures, by a camera that turns slowly."""
    yield from _cut(random, rate, seconds, lambda picture: _noisy(picture, random))


def cuts_at_night(random: Generator, rate: float, seconds: float) -> Clip:
    """The same, dark and noisy."""
    yield from _cut(random, rate, seconds, lambda picture: _noisy(0.25 * picture, random, 10))


def _cut(random: Generator, rate: float, seconds: float, film: Callable[[Pixels], Pixels]) -> Clip:
    scene, next_cut, since = world(random), _scene_length(random, rate), 0
    for pts in _times(rate, seconds):
        is_cut = since == next_cut
        if is_cut:
            scene, next_cut, since = world(random), _scene_length(random, rate), 0
        yield Shown(film(seen(scene, left=MIDDLE[1] + 40 * since / rate)), pts, is_cut)
        since += 1


def _scene_length(random: Generator, rate: float) -> int:
    return int(random.integers(max(3, round(rate)), max(6, round(2 * rate))))


def cuts_in_bars(random: Generator, rate: float, seconds: float) -> Clip:
    """The same, with black bars above and below and a bright sign that stays."""

    def film(picture: Pixels) -> Pixels:
        framed = _noisy(picture, random)
        framed[:48], framed[-48:] = 0, 0
        framed[60:90, 380:460] = 255
        return framed

    yield from _cut(random, rate, seconds, film)


def through_black(random: Generator, rate: float, seconds: float) -> Clip:
    """Each scene fades to black and the next fades in, half a second each."""
    scene, dark = seen(world(random)).astype(np.float32), False
    for index, pts in enumerate(_times(rate, seconds)):
        phase = index % max(6, round(2 * rate)) / max(6, round(2 * rate))
        gain = np.clip(4 * abs(phase - 0.5) - 0.1, 0, 1)
        is_cut = dark and phase > 0.5
        if is_cut:
            scene = seen(world(random)).astype(np.float32)
        dark = phase <= 0.5
        yield Shown(_noisy(gain * scene, random), pts, is_cut)


def dissolving(random: Generator, rate: float, seconds: float) -> Clip:
    """Each scene becomes the next one within a second, after two; the cut is where
    that begins."""
    old, new = seen(world(random)), seen(world(random))
    length = max(9, round(3 * rate))
    for index, pts in enumerate(_times(rate, seconds)):
        if index and index % length == 0:
            old, new = new, seen(world(random))
        share = np.clip(3 * (index % length) / length - 2, 0, 1)
        is_cut = index % length == length * 2 // 3 + 1
        yield Shown(_noisy((1 - share) * old + share * new, random), pts, is_cut)


def dropped(clip: Iterable[Shown], random: Generator, share: float = 0.4) -> Clip:
    """Lose pictures, also in runs; if the picture of a cut is lost, the next one has the cut."""
    lost, owed = 0, False
    for one in clip:
        if lost == 0 and random.random() < share / 3:
            lost = int(random.integers(1, 6))
        owed |= one.is_cut
        if lost:
            lost -= 1
            continue
        yield replace(one, is_cut=owed)
        owed = False


def _times(rate: float, seconds: float) -> Iterator[float]:
    """At least 24 pictures."""
    return (index / rate for index in range(max(24, round(rate * seconds))))


Kind = Callable[[Generator, float, float], Clip]

KINDS: dict[str, Kind] = {
    "still": still,
    "panning": panning,
    "shaking": shaking,
    "zooming": zooming,
    "exposure": exposure,
    "flashing": flashing,
    "black pictures": black,
    "night": night,
    "filling": filling,
    "panning, dropped": lambda *given: dropped(panning(*given), default_rng(1)),
    "cuts": cuts,
    "cuts at night": cuts_at_night,
    "cuts in bars": cuts_in_bars,
    "cuts, dropped": lambda *given: dropped(cuts(*given), default_rng(1)),
    "through black": through_black,
    "dissolving": dissolving,
}
"""Kinds of footage that may mislead a detector; all but the last six have no cut."""
