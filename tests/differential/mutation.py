"""Seeded mutations of bytes: the same seed gives the same inputs on every machine."""

from __future__ import annotations

import random
from collections.abc import Mapping


def mutate(data: bytes, dice: random.Random) -> bytes:
    """Change some bytes: flips, sets, cuts, additions, moves. Now and then nothing, so that both sides are also asked what is good."""
    changed = bytearray(data)
    for _ in range(dice.choice((0, 1, 1, 1, 2, 3))):
        if not changed:
            break
        place = dice.randrange(len(changed))
        kind = dice.randrange(9)
        if kind <= 3:
            changed[place] ^= 1 << dice.randrange(8)
        elif kind == 4:
            changed[place] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))
        elif kind == 5:
            del changed[place : place + dice.choice((1, 1, 4, 16))]
        elif kind == 6:
            changed[place:place] = dice.randbytes(dice.choice((1, 2, 8)))
        elif kind == 7:
            length = dice.choice((1, 2, 4, 8, 32))
            changed[place : place + length] = bytes(min(length, len(changed) - place))
        else:
            other = dice.randrange(len(changed))
            changed[place], changed[other] = changed[other], changed[place]
    return bytes(changed)


def mutate_one(blobs: Mapping[str, bytes], dice: random.Random, favourite: str) -> dict[str, bytes]:
    """Mutate one of several blobs, mostly the favourite one."""
    name = favourite if dice.random() < 0.6 else dice.choice(sorted(blobs))
    return {**blobs, name: mutate(blobs[name], dice)}
