#!/usr/bin/env python3
"""Reads tests/vectors/discrete_gaussian.json with a second sampler, which follows docs/privacy.md, section "The sampler".

Shares no code and no arithmetic with the first: whole numbers of Python, all bounds at 400 bits and more. Needs Python 3.9 and
nothing else. Exit code 0: every sample agrees; 1: not. With --write, fills in the samples of the cases in the file instead.
"""
import json
import sys
from math import isqrt
from pathlib import Path

PATH = Path(__file__).resolve().parent / "vectors" / "discrete_gaussian.json"
STRIPS, SLOTS, WORD = 254, 1 << 14, 1 << 64


def up(numerator, denominator):
    return -(-numerator // denominator)


# ChaCha20, RFC 8439

def quarter_round(s, a, b, c, d):
    for x, y, z, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        s[x] = (s[x] + s[y]) & 0xFFFFFFFF
        s[z] ^= s[x]
        s[z] = (s[z] << turn | s[z] >> (32 - turn)) & 0xFFFFFFFF


def block(key, counter, nonce):
    words = b"expand 32-byte k" + key + counter.to_bytes(4, "little") + nonce
    start = [int.from_bytes(words[i:i + 4], "little") for i in range(0, 64, 4)]
    s = start[:]
    for _ in range(10):
        for column in range(4):
            quarter_round(s, column, column + 4, column + 8, column + 12)
        for i in range(4):
            quarter_round(s, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return b"".join(((a + b) & 0xFFFFFFFF).to_bytes(4, "little") for a, b in zip(s, start))


def stream(seed, number):
    """Function that returns the next so many bytes, as a little-endian number."""
    state = {"bytes": b"", "counter": 0}

    def take(count):
        while len(state["bytes"]) < count:
            state["bytes"] += block(seed, state["counter"], bytes([number]) + bytes(11))
            state["counter"] += 1
        taken, state["bytes"] = state["bytes"][:count], state["bytes"][count:]
        return int.from_bytes(taken, "little")

    return take


class Bell:
    """f(x) = exp(-x^2 * b / (2a))."""

    def __init__(self, a, b):
        self.a, self.b = a, b

    def bounds(self, x, bits):
        """l and h with l <= 2^bits * f(x) <= h. For y = 1/exp(q): exp(q) = (sum of r^n/n!)^(2^s), r = q/2^s < 1."""
        top, bottom = x * x * self.b, 2 * self.a
        if top == 0:
            return 1 << bits, 1 << bits
        if top // bottom >= bits:
            return 0, 1  # exp(-q) < 2^-q
        s = max(0, (top // bottom).bit_length())
        # e^q < 2^(1.5 q): enough digits for the quotient, and for what the squarings cost.
        work = bits + 2 * (top // bottom) + s + 64
        one = 1 << work
        r_low, r_high = (top << work) // (bottom << s), up(top << work, bottom << s)
        low, high, term_low, term_high, n = one, one, one, one, 0
        while term_high > 1:
            n += 1
            term_low, term_high = term_low * r_low // (n << work), up(term_high * r_high, n << work)
            low, high = low + term_low, high + term_high
        high += 2 * term_high  # what is left of the series is less than its last term again
        for _ in range(s):
            low, high = low * low >> work, up(high * high, one)
        return (one << bits) // high, up(one << bits, low)

    def ceiling(self, x, bits):
        """The least whole number that is at least 2^bits * f(x)."""
        precision = bits + 400
        while True:
            low, high = (up(bound, 1 << (precision - bits)) for bound in self.bounds(x, precision))
            if max(low, 1) == high:
                return high
            precision *= 2


class Sampler:
    def __init__(self, a, b, seed):
        self.bell = Bell(a, b)
        self.attempts, further = stream(seed, 0), stream(seed, 1)
        self.next_word = lambda: further(8)
        root = isqrt(a // (b << 12))
        self.w = next(w for w in range(max(root, 1), root + 3) if w * w * b << 12 >= a)
        heights = [self.bell.ceiling(k * self.w, 40) for k in range(STRIPS + 1)]
        heights[STRIPS] *= 32

        def weights(c):
            return [up(c * height, 1 << 56) for height in heights]

        c, step = 0, 1 << 40
        while step:
            if sum(weights(c + step)) <= SLOTS:
                c += step
            step >>= 1
        self.c, self.weights = c, weights(c)
        self.slots = [k for k, weight in enumerate(self.weights) for _ in range(weight)]

    def below(self, m, word):
        while word * m % WORD < WORD % m:
            word = self.next_word()
        return word * m // WORD

    def accepts(self, x, doublings, weight, v):
        """Whether the uniform number whose first 17 bits are v is less than P = f(x) * c * 2^doublings / (2^16 * weight)."""
        bits, precision = 17, 400
        while True:
            low, high = self.bell.bounds(x, precision)
            # All multiplied by 2^bits * 2^precision * 2^16 * weight.
            factor, unit = self.c << (doublings + bits), weight << (16 + precision)
            if (v + 1) * unit <= low * factor:
                return True
            if v * unit >= high * factor:
                return False
            if (v == 0 or v * unit < low * factor) and (v + 1) * unit > high * factor:
                v, bits = v << 64 | self.next_word(), bits + 64
            else:
                precision *= 2

    def attempt(self):
        """A sample, or None."""
        word, place = self.attempts(4), self.attempts(8)
        slot, negative, v = word >> 18, word >> 17 & 1, word & (1 << 17) - 1
        if slot >= len(self.slots):
            return None
        k = self.slots[slot]
        if k < STRIPS:
            doublings, x = 0, k * self.w + self.below(self.w, place)
        else:
            i, word = 0, self.next_word()
            while word == 0:
                i, word = i + 64, self.next_word()
            i += (word & -word).bit_length() - 1
            doublings, x = 5 + i, (STRIPS + 16 * i) * self.w + self.below(16 * self.w, place)
        if x == 0 and negative or not self.accepts(x, doublings, self.weights[k], v):
            return None
        return -x if negative else x

    def samples(self, count):
        found = []
        while len(found) < count:
            sample = self.attempt()
            if sample is not None:
                found.append(sample)
        return found


def main():
    cases = json.loads(PATH.read_text())
    wrong = 0
    for case in cases:
        seed = bytes.fromhex(case["seed"])
        found = Sampler(int(case["numerator"]), case["denominator"], seed).samples(64)
        wrong += found != case.get("samples")
        if found != case.get("samples") and "--write" not in sys.argv:
            print(f"variance {case['numerator']}/{case['denominator']}, seed {case['seed']}: samples differ")
        case["samples"] = found
    if "--write" in sys.argv:
        PATH.write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
        return 0
    rfc = block(bytes(range(32)), 1, bytes.fromhex("000000090000004a00000000")).hex()
    wrong += not rfc.startswith("10f1e7e4d13b5915500fdd1fa32071c4")  # RFC 8439, 2.3.2
    print(f"{len(cases)} cases of 64 samples, {wrong} wrong")
    return 1 if wrong or not cases else 0


if __name__ == "__main__":
    sys.exit(main())
