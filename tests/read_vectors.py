#!/usr/bin/env python3
"""Reads tests/vectors with a second implementation, which follows docs/protocol.md (sections in brackets) and shares no code.

Reproduces every good vector from its secrets (keys, shares, masked vectors, signatures, the sum) byte by byte, and refuses
every bad message for the stated reason. Needs Python 3.9 and the package `cryptography`, 40 or newer. Exit code 0: all agree; 1: not.
"""
import hashlib
import json
import sys
import zlib
from math import comb, isqrt
from pathlib import Path

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

FOLDER = Path(__file__).resolve().parent / "vectors"
NO_SIGNATURE = bytes(64)


class Refused(Exception):
    """A message is refused; the text is a name of section 12."""


def need(condition, name):
    if not condition:
        raise Refused(name)


# Encoding, digests, signatures [2]

def u16(x): return x.to_bytes(2, "little")
def u32(x): return x.to_bytes(4, "little")
def u64(x): return x.to_bytes(8, "little")
def sequence(items): return u64(len(items)) + b"".join(items)


def digest(label, *parts):
    framed = b"".join(u64(len(part)) + part for part in (label.encode(), *parts))
    return hashlib.sha256(framed).digest()


def sign(secret, label, *parts):
    return Ed25519PrivateKey.from_private_bytes(secret).sign(digest(label, *parts))


def identity_of(secret):
    return Ed25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


P = 2**255 - 19
ORDER_8 = [int.from_bytes(bytes.fromhex(y), "little") for y in (
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")]


def is_small_order(point):
    return (int.from_bytes(point, "little") & (2**255 - 1)) % P in (0, 1, P - 1, *ORDER_8)


def verify(public, signature, label, *parts, name="signature"):
    need(not is_small_order(public) and not is_small_order(signature[:32]), name)
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, digest(label, *parts))
    except (InvalidSignature, ValueError):
        raise Refused(name) from None


class Body:
    """Reads an encoding from front to end."""

    def __init__(self, data): self.data, self.at = data, 0

    def take(self, length):
        need(self.at + length <= len(self.data), "malformed")
        self.at += length
        return self.data[self.at - length:self.at]

    def number(self, length): return int.from_bytes(self.take(length), "little")
    def u16(self): return self.number(2)
    def u32(self): return self.number(4)
    def u64(self): return self.number(8)
    def hash(self): return self.take(32)
    def signature(self): return self.take(64)
    def string(self): return self.take(self.u64()).decode()

    def sequence(self, item):
        count = self.u64()
        need(count <= len(self.data), "malformed")
        return [item(self) for _ in range(count)]

    def option(self, item):
        tag = self.number(1)
        need(tag < 2, "malformed")
        return item(self) if tag else None

    def end(self):
        need(self.at == len(self.data), "malformed")


# Frames and messages [3.6, 3.8, 4]

def hashes(b): return (b.hash(), b.hash())
def member(b): return (b.u16(), b.hash(), b.hash(), b.signature())
def seen_head(b): return b.take(136)
def dealt(b): return (b.u16(), b.take(80), *hashes(b), b.option(seen_head), b.signature())
def surviving(b): return (b.u16(), b.hash(), b.take(40), b.signature())
def signed(b): return (b.u16(), b.signature())
def revealed(b): return (b.u16(), b.hash())


MESSAGES = {
    "Advertise": (0x0106, 512, ["hash", "hash", "hash", "hash", "hash", "signature"]),
    "Shares": (0x0107, 98304, ["hash", "hash", ("option", hashes), ("sequence", dealt), "signature"]),
    "Complaint": (0x0108, 256, ["hash", "u16", "signature"]),
    "Certify": (0x0109, 256, ["hash", "signature"]),
    "Unmask": (0x010A, 40960, ["hash", ("sequence", revealed), ("sequence", revealed), "signature"]),
    "Welcome": (0x0201, 1048576, None),
    "Offer": (0x0203, 1024, None),
    "RoundRoster": (0x020A, 262144, ["hash", ("sequence", member)]),
    "ForwardedShares": (0x020B, 393216, ["hash", ("sequence", Body.u16), ("sequence", dealt)]),
    "Survivors": (0x020C, 196608, ["hash", ("sequence", surviving)]),
    "Certificate": (0x020D, 131072, ["hash", ("sequence", signed)]),
    "Update": (0x0401, 2**32 - 1, None),
    "Result": (0x0402, 2**32 - 1, None),
}


def frame(name, body):
    return b"GHLD" + u16(1) + u16(MESSAGES[name][0]) + u32(len(body)) + u32(zlib.crc32(body)) + body


def body_of(name, data):
    kind, limit, _ = MESSAGES[name]
    body = data[16:]
    need(data[:8] == b"GHLD" + u16(1) + u16(kind) and len(body) <= limit, "malformed")
    need(data[8:16] == u32(len(body)) + u32(zlib.crc32(body)), "malformed")
    return Body(body)


def read(name, data):
    body, fields = body_of(name, data), []
    for field in MESSAGES[name][2]:
        fields.append(getattr(body, field)() if isinstance(field, str) else getattr(body, field[0])(field[1]))
    body.end()
    return fields


def read_vector(name, data):
    body = body_of(name, data)
    control = Body(body.take(body.u32()))
    return control, body.take(len(body.data) - body.at)


# Numbers of a masked round [6]

def ways(population, marked, drawn, count):
    """How many draws have so many marked ones."""
    return comb(marked, count) * comb(population - marked, drawn - count)


def sparse_graph(n, c, m):
    for k in range(1, min(254, m - 1) + 1):
        all_draws, reached, t_k = comb(m - 1, k), 0, min(c, k) + 1
        while t_k > 0 and n * (reached + ways(m - 1, c, k, t_k - 1)) * 2**40 < all_draws:
            t_k -= 1
            reached += ways(m - 1, c, k, t_k)
        lost = sum(ways(n - 1, n - m, k, count) for count in range(k - t_k + 1, min(n - m, k) + 1))
        if t_k <= k and n * lost * 2**20 < comb(n - 1, k):
            return [k, t_k]
    return None


def thresholds(n, colluders_min):
    """C, t, m_min, h, h', and (k, t_k) of the sparse graph; none where there are no masked rounds."""
    c = max(1, (n - 1) // 3, colluders_min)
    t = (n + c) // 2 + 1
    m = n if n == 3 else max(t, n - max(1, n // 5))
    if not (3 <= n and t <= m <= n and m > c):
        return None
    if n > 128 and m - c < 10:
        return None
    graph = sparse_graph(n, c, m) if n > 128 else None
    if n > 128 and graph is None:
        return None
    return [c, t, m, m - c, (m - c) * 96 // 100 if graph else m - c, graph]


def parameters(n, job):
    """The encoding of 6.10, for a masked round with noise."""
    c, t, m, h, shares, graph = thresholds(n, job["colluders_min"])
    noise = isqrt(job["noise_standard_deviation"] ** 2 // shares)
    while shares * noise * noise < job["noise_standard_deviation"] ** 2:
        noise += 1
    most = n * job["shoppers_per_merchant_max"] * job["bound"] + 14 * noise * (isqrt(n) + 1)
    ring = 0 if most < 2**31 else 1
    drawn = u32(0) if graph is None else u32(1) + u32(graph[0]) + u32(graph[1])
    generator = u32(["AES-256-CTR", "ChaCha20"].index(job["generator"]))
    secagg = b"\1" + u32(n) + u32(c) + u32(t) + u32(m) + u32(h) + drawn + generator
    tail = u64(job["d"]) + u64(job["bound"]) + u64(noise) + u32(ring) + u32(max(job["quorum"], m))
    return u32(0) + u32(n) + secagg + u32(shares) + tail


def read_parameters(b):
    got = {"mode": b.u32(), "n": b.u32()}
    need(b.number(1) == 1, "malformed")
    got.update(zip(("n", "c", "t", "m", "h"), (b.u32() for _ in range(5))))
    got["graph"] = (b.u32(), b.u32()) if b.u32() == 1 else None
    got["generator"] = ["AES-256-CTR", "ChaCha20"][b.u32()]
    got.update(shares=b.u32(), d=b.u64(), bound=b.u64(), noise=b.u64(), ring=[32, 64][b.u32()], quorum=b.u32())
    return got


def read_dummy_job(data):
    """The numbers that 6 needs, out of a job for a dummy task [10.1]."""
    b = Body(data)
    b.string(), b.string()
    need(b.u32() == 2, "malformed")
    d = b.u64()
    need((b.u32(), b.u64(), b.u32()) == (2, 7, 10), "malformed")  # vector; seed; rounds
    need(b.u32() == 0, "malformed")  # SGD
    b.u64(), b.u64(), b.u32(), b.u64()  # momentum, rate, averaged rounds, clip
    bound = b.u64()
    need((b.u32(), b.u32()) == (0, 0), "malformed")  # Gaussian, shopper
    b.u64(), b.u64()
    noise = b.u64()
    need(b.u32() == 0, "malformed")  # masked
    colluders, generator, quorum = b.u32(), ["AES-256-CTR", "ChaCha20"][b.u32()], b.u32()
    b.u64(), b.u64(), b.u64(), b.u64()  # deadlines, slot, W
    shoppers = b.u64()
    b.u64()
    b.end()
    return {"d": d, "bound": bound, "noise_standard_deviation": noise, "shoppers_per_merchant_max": shoppers,
            "quorum": quorum, "colluders_min": colluders, "generator": generator}


# Keys, shares, masks [7, appendix A]

def hkdf(key, *info):
    return HKDF(SHA256(), 32, None, b"".join(info)).derive(key)


def public_of(secret):
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def agree(secret, public):
    try:
        return X25519PrivateKey.from_private_bytes(secret).exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        raise Refused("small-order key") from None


def share_key(secret, public, sid, t1, dealer, holder):
    return hkdf(agree(secret, public), b"guildhall secagg share key v1", sid, t1, u16(dealer), u16(holder))


def pair_mask(secret, public, sid, t1, members, u, v):
    low, high = u16(min(u, v)), u16(max(u, v))
    return hkdf(agree(secret, public), b"guildhall secagg pair mask v1", sid, t1, members, low, high)


def self_mask(b, sid, u):
    return hkdf(b, b"guildhall secagg self mask v1", sid, u16(u))


def chacha20(key, length):
    return Cipher(algorithms.ChaCha20(key, bytes(16)), None).encryptor().update(bytes(length))


def mask(generator, key, words, bits):
    length = words * bits // 8
    if generator == "ChaCha20":
        stream = chacha20(key, length)
    else:
        stream = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor().update(bytes(length))
    return to_words(stream, bits)


def to_words(data, bits):
    return [int.from_bytes(data[i:i + bits // 8], "little") for i in range(0, len(data), bits // 8)]


def from_words(words, bits):
    return b"".join(word.to_bytes(bits // 8, "little") for word in words)


def centred(words, bits):
    return [word - 2**bits if word >= 2**(bits - 1) else word for word in words]


def times(a, b):
    product = 0
    while b:
        product ^= a * (b & 1)
        a = (a << 1) ^ (0x11B if a & 0x80 else 0)
        b >>= 1
    return product


INVERSE = {a: b for a in range(1, 256) for b in range(1, 256) if times(a, b) == 1}


def split(secret, coefficients, holders):
    shares = []
    for x in range(1, holders + 1):
        share, power = secret, 1
        for coefficient in coefficients:
            power = times(power, x)
            share = bytes(s ^ times(c, power) for s, c in zip(share, coefficient))
        shares.append(share)
    return shares


def reconstruct(points):
    secret = bytes(len(next(iter(points.values()))))
    for x, share in points.items():
        weight = 1
        for other in points:
            if other != x:
                weight = times(weight, times(other, INVERSE[other ^ x]))
        secret = bytes(s ^ times(b, weight) for s, b in zip(secret, share))
    return secret


class Secrets:
    """All secrets of one merchant in one attempt, from its seed [appendix A]."""

    def __init__(self, seed):
        def part(name): return hkdf(seed, f"guildhall secagg {name} v1".encode())
        self.encryption, self.mask, self.b = part("encryption key"), part("mask key"), part("self-mask seed")
        self.encryption_public, self.mask_public = public_of(self.encryption), public_of(self.mask)
        self.coefficient_key, self.stream, self.at = part("coefficients"), chacha20(part("holders"), 1 << 14), 0

    def coefficients(self, threshold):
        stream = chacha20(self.coefficient_key, 64 * (threshold - 1))
        return [stream[i:i + 64] for i in range(0, len(stream), 64)]

    def below(self, bound):
        while True:
            word = int.from_bytes(self.stream[self.at:self.at + 2], "little")
            self.at += 2
            if word < 2**16 // bound * bound:
                return word % bound

    def holders(self, members, own, k):
        others, self.at = [m for m in members if m != own], 0
        for place in range(min(k, len(others))):
            other = place + self.below(len(others) - place)
            others[place], others[other] = others[other], others[place]
        return sorted(others[:k])


SHARE_DATA = b"guildhall secagg sealed shares v1"


def share_hash(sid, dealer, holder, kind, value):
    return digest("guildhall secagg share hash v1", sid, u16(dealer), u16(holder), kind, value)


def survivors_digest(sid, t1, members, updates):
    listed = b"".join(u16(v) + h + head for v, h, head in updates)
    return digest("guildhall secagg survivors v1", sid, t1, members, listed)


# A whole attempt, made anew from its secrets [8]

class Attempt:
    def __init__(self, file):
        self.file, self.messages = file, {}
        for said in file["messages"]:
            party = said["from"] if said["from"] is not None else said["to"]
            self.messages[said["message"], party] = bytes.fromhex(said["frame"])
        self.identities = [bytes.fromhex(secret) for secret in file["identity_secrets"]]
        self.public = [identity_of(secret) for secret in self.identities]
        self.seen = [seen and bytes.fromhex(seen) for seen in self.file["seen_heads"]]
        self.federation = bytes.fromhex(file["federation_secret"])
        self.secrets = [Secrets(bytes.fromhex(seed)) for seed in file["session_seeds"]]
        self.n, self.expected = len(self.identities), 0
        self.u1 = list(range(self.n))
        self.u2 = self.without(self.u1, "before Shares")
        self.u3 = self.without(self.u2, "before Update")
        self.answering = self.without(self.u3, "before Unmask")
        self.read_roster_and_offer()
        self.advertise()
        self.deal()
        self.upload()
        self.unmask()
        self.result()
        assert self.expected == len(file["messages"]), "messages that nobody sends"

    def without(self, merchants, stage):
        return [i for i in merchants if [i, stage] not in self.file["gone"]]

    def expect(self, name, party, body):
        assert self.messages[name, party] == frame(name, body), f"{name} of or to {party}"
        self.expected += 1

    def read_roster_and_offer(self):
        b = body_of("Welcome", bytes.fromhex(self.file["welcome"]))
        federation, some = b.hash(), b.number(1)
        start = b.at
        assert some == 1 and b.hash() == federation
        listed = b.sequence(lambda b: (b.string(), b.string(), b.hash(), b.hash()))
        self.roster = digest("guildhall roster v1", b.data[start:b.at])
        verify(identity_of(self.federation), b.signature(), "guildhall signed roster v1", self.roster)
        assert b.number(1) == 0, "the server saw no ledger yet"
        answer = (bytes([7] * 32), federation, b"m0", b"")
        verify(identity_of(self.federation), b.signature(), "guildhall ledger witness v1", *answer)
        b.end()
        assert [entry[2] for entry in listed] == self.public and sorted(listed) == listed
        job = bytes.fromhex(self.file["job"])
        assert read_dummy_job(job) == self.file["job_numbers"]
        self.job = digest("guildhall job v1", job)
        data = self.messages["Offer", None]
        b = body_of("Offer", data)
        b.take(2 * 32 + 3 * 4 + 32)
        start = b.at
        self.p = read_parameters(b)
        self.parameters = b.data[start:b.at]
        if self.file["parameters_follow_from_the_job"]:
            assert self.parameters == parameters(self.n, self.file["job_numbers"]), "parameters"
        self.model, self.digest = b.data[76:108], digest(
            "guildhall round parameters v1", self.job, self.roster, self.parameters)
        assert b.data[:64] == federation + self.job and b.hash() == self.roster
        self.sid = digest("guildhall sid v1", b.data[:-64] + NO_SIGNATURE)
        self.bits, graph = self.p["ring"], self.p["graph"]
        self.k, self.threshold = graph if graph else (None, self.p["t"])
        for name, value in (("sid", self.sid), ("parameter_digest", self.digest)):
            assert self.file[name] == value.hex(), name
        assert check_client(self, 0, "Offer", data) is None
        self.expected += 1

    def advertise(self):
        facts, entries = (self.sid, self.model, self.digest), []
        for i in self.u1:
            keys = (self.secrets[i].encryption_public, self.secrets[i].mask_public)
            signature = sign(self.identities[i], "guildhall secagg advertise v1", *facts, *keys)
            self.expect("Advertise", i, b"".join((*facts, *keys, signature)))
            entries.append(b"".join((u16(i), *keys, signature)))
        self.expect("RoundRoster", None, self.sid + sequence(entries))
        self.t1 = digest("guildhall secagg round roster v1", self.sid, sequence(entries))
        assert self.file["t1"] == self.t1.hex()

    def deal(self):
        self.holders, self.shares, forwarded = {}, {}, {i: [] for i in self.u2}
        for i in self.u2:
            secrets = self.secrets[i]
            self.holders[i] = secrets.holders(self.u1, i, self.k) if self.k else self.u1
            points = split(secrets.mask + secrets.b, secrets.coefficients(self.threshold), len(self.holders[i]))
            self.shares[i], own, out = dict(zip(self.holders[i], points)), b"\0", []
            for j, point in self.shares[i].items():
                hashed = (share_hash(self.sid, i, j, b"mask key", point[:32])
                          + share_hash(self.sid, i, j, b"seed", point[32:]))
                if i == j:
                    own = b"\1" + hashed
                    continue
                key = share_key(secrets.encryption, self.secrets[j].encryption_public, self.sid, self.t1, i, j)
                data = SHARE_DATA + self.sid + self.t1 + u16(i) + u16(j)
                content = ChaCha20Poly1305(key).encrypt(bytes(12), point, data) + hashed
                seen = self.seen[j] or b""
                statement = u16(i) + u16(j) + content + seen
                content += bytes([1 if seen else 0]) + seen + sign(self.identities[i], "guildhall secagg dealt share v1", self.sid, self.t1, statement)
                out.append(u16(j) + content)
                if j in forwarded:
                    forwarded[j].append(u16(i) + content)
            commitment = digest("guildhall secagg seed commitment v1", self.sid, u16(i), secrets.b)
            body = self.sid + commitment + own + sequence(out)
            signature = sign(self.identities[i], "guildhall secagg shares v1", self.t1, body)
            self.expect("Shares", i, body + signature)
        for j in self.u2:
            listed = sequence([u16(i) for i in self.u2])
            self.expect("ForwardedShares", j, self.sid + listed + sequence(forwarded[j]))
        self.members = digest("guildhall secagg members v1", self.sid, b"".join(map(u16, self.u2)))
        assert self.file["members_digest"] == self.members.hex()

    def are_peers(self, u, v):
        return u != v and (v in self.holders[u] or u in self.holders[v])

    def add_masks(self, vector, masks):
        for factor, key in masks:
            stream = mask(self.p["generator"], key, len(vector), self.bits)
            vector = [(a + factor * b) % 2**self.bits for a, b in zip(vector, stream)]
        return vector

    def upload(self):
        self.updates, self.words, listed = [], {}, []
        for u in self.u3:
            y = [x % 2**self.bits for x in self.file["integers"][u]]
            masks = [(1, self_mask(self.secrets[u].b, self.sid, u))]
            for v in (v for v in self.u2 if self.are_peers(u, v)):
                key = pair_mask(self.secrets[u].mask, self.secrets[v].mask_public, self.sid, self.t1, self.members, u, v)
                masks.append((1 if v > u else -1, key))
            y = self.add_masks(y, masks)
            words = from_words(y, self.bits)
            hashed = hashlib.sha256(words).digest()
            head = bytes.fromhex(self.file["ledger_heads"][u])
            parts = update_parts(self, hashed, head)
            signature = sign(self.identities[u], "guildhall secagg masked update v1", *parts)
            self.expect("Update", u, u32(168) + self.sid + hashed + head + signature + words)
            self.updates.append((u, hashed, head))
            self.words[u] = y
            listed.append(u16(u) + hashed + head + signature)
        self.expect("Survivors", None, self.sid + sequence(listed))
        self.s = survivors_digest(self.sid, self.t1, self.members, self.updates)
        assert self.file["survivors_digest"] == self.s.hex()
        signatures = []
        for u in self.u3:
            signature = sign(self.identities[u], "guildhall secagg certify v1", self.sid, self.s)
            self.expect("Certify", u, self.sid + signature)
            signatures.append(u16(u) + signature)
        self.expect("Certificate", None, self.sid + sequence(signatures[:self.p["t"]]))

    def unmask(self):
        points = {i: {} for i in self.u2}
        for u in self.answering:
            held = [i for i in self.u2 if u in self.holders[i]]
            seeds = [u16(i) + self.shares[i][u][32:] for i in held if i in self.u3]
            keys = [u16(i) + self.shares[i][u][:32] for i in held if i not in self.u3]
            lists = sequence(seeds) + sequence(keys)
            signature = sign(self.identities[u], "guildhall secagg unmask v1", self.sid, self.s, lists)
            self.expect("Unmask", u, self.sid + lists + signature)
            for dealer, share in sum(read("Unmask", self.messages["Unmask", u])[1:3], []):
                points[dealer][self.holders[dealer].index(u) + 1] = share
        total = [sum(column) for column in zip(*(self.words[u] for u in self.u3))]
        for i in self.u2:
            secret = reconstruct({x: points[i][x] for x in sorted(points[i])[:self.threshold]})
            if i in self.u3:
                assert secret == self.secrets[i].b
                off = [(-1, self_mask(secret, self.sid, i))]
            else:
                assert public_of(secret) == self.secrets[i].mask_public
                peers = [v for v in self.u3 if self.are_peers(i, v)]
                off = [(1 if i < v else -1, pair_mask(secret, self.secrets[v].mask_public, self.sid, self.t1,
                                                      self.members, i, v)) for v in peers]
            total = self.add_masks(total, off)
        self.total = total
        plain = [sum(column) for column in zip(*(self.file["integers"][u] for u in self.u3))]
        assert centred(self.total, self.bits) == self.file["sum"] == plain, "the sum"

    def result(self):
        control, words = read_vector("Result", self.messages["Result", None])
        assert words == from_words(self.total, self.bits)
        job, sid, _, _ = control.hash(), control.hash(), control.take(12), control.hash()
        contributors, hashed = control.sequence(Body.u16), control.hash()
        assert (job, sid, contributors) == (self.job, self.sid, self.u3) and hashed == hashlib.sha256(words).digest()
        body = digest("guildhall result body v1", control.data[:control.at] + NO_SIGNATURE)
        verify(identity_of(self.federation), control.signature(), "guildhall result v1", self.sid, body)
        control.end()
        self.expected += 1


# What the receivers check, in the order of section 8

def ascending(listed, n):
    need(all(a < b for a, b in zip(listed, listed[1:])) and all(i < n for i in listed), "order")


def check_client(a, own, name, data):
    if name == "Offer":
        b = body_of(name, data)
        b.take(108)
        start = b.at
        read_parameters(b)
        given = b.data[start:b.at]
        b.take(64)
        sid = digest("guildhall sid v1", b.data[:b.at] + NO_SIGNATURE)
        verify(identity_of(a.federation), b.signature(), "guildhall offer v1", sid)
        b.end()
        return need(given == a.parameters, "parameters")
    sid, listed, *rest = read(name, data)
    need(sid == a.sid, "session")
    indices = [entry if isinstance(entry, int) else entry[0] for entry in listed]
    ascending(indices, a.n)
    if name == "RoundRoster":
        return check_round_roster(a, own, listed)
    if name == "ForwardedShares":
        return check_forwarded(a, own, listed, rest[0])
    need(len(listed) >= (a.p["m"] if name == "Survivors" else a.p["t"]), "too few")
    if name == "Survivors":
        need([u for u in a.updates if u[0] == own][0] in [entry[:3] for entry in listed], "own entry")
    for i, *hashed, signature in listed:
        need(i in (a.u2 if name == "Survivors" else a.u3), "stranger")
        if name == "Survivors":
            verify(a.public[i], signature, "guildhall secagg masked update v1", *update_parts(a, *hashed))
            seen = a.seen[i]
            need(seen is None or hashed[1][:8][::-1] > seen[32:40][::-1], "ledger behind")
        else:
            verify(a.public[i], signature, "guildhall secagg certify v1", a.sid, a.s)


def update_parts(a, hashed, head):
    return digest("guildhall secagg update digest v1", a.sid, a.t1, a.members, hashed), head


def check_round_roster(a, own, listed):
    need(len(listed) >= a.p["m"], "too few")
    need((own, a.secrets[own].encryption_public, a.secrets[own].mask_public) in [e[:3] for e in listed], "own entry")
    seen = set()
    for i, encryption, mask_key, _ in listed:
        need(len({encryption, mask_key} - seen) == 2, "duplicate key")
        seen |= {encryption, mask_key}
    everybody = [entry[0] for entry in listed]
    holders = everybody if a.k is None else a.secrets[own].holders(everybody, own, a.k)
    for i, encryption, mask_key, signature in (entry for entry in listed if entry[0] in holders):
        parts = (a.sid, a.model, a.digest, encryption, mask_key)
        verify(a.public[i], signature, "guildhall secagg advertise v1", *parts)
    for i, encryption, *_ in (entry for entry in listed if entry[0] in holders and entry[0] != own):
        agree(a.secrets[own].encryption, encryption)


def check_forwarded(a, own, members, shares):
    ascending([share[0] for share in shares], a.n)
    need(len(members) >= a.p["m"], "too few")
    need(set(members) <= set(a.u1), "stranger")
    need(own in members, "own entry")
    need(all(share[0] in members and share[0] != own for share in shares), "stranger")
    if a.k is None:
        need(len(shares) == len(members) - 1, "dealers")
    else:
        need(len(set(a.holders[own]) & set(members)) >= a.threshold, "holders")
    for dealer, sealed, mask_hash, seed_hash, seen, signature in shares:
        statement = u16(dealer) + u16(own) + sealed + mask_hash + seed_hash + (seen or b"")
        label = "guildhall secagg dealt share v1"
        verify(a.public[dealer], signature, label, a.sid, a.t1, statement, name="share signature")
        key = share_key(a.secrets[own].encryption, a.secrets[dealer].encryption_public, a.sid, a.t1, dealer, own)
        try:
            data = SHARE_DATA + a.sid + a.t1 + u16(dealer) + u16(own)
            point = ChaCha20Poly1305(key).decrypt(bytes(12), sealed, data)
        except InvalidTag:
            raise Refused("share sealed") from None
        found = (share_hash(a.sid, dealer, own, b"mask key", point[:32]),
                 share_hash(a.sid, dealer, own, b"seed", point[32:]))
        need(found == (mask_hash, seed_hash), "share hash")


def check_server(a, sender, name, data, repeated):
    if name == "Update":
        control, words = read_vector(name, data)
        fields = [control.hash(), control.hash(), control.take(40), control.signature()]
        control.end()
    else:
        fields = read(name, data)
    allowed = {"Advertise": range(a.n), "Shares": a.u1, "Update": a.u2, "Complaint": a.u2}.get(name, a.u3)
    need(sender in allowed, "stranger")
    need(fields[0] == a.sid, "session")
    if name == "Complaint":
        need(fields[1] != sender and fields[1] in a.u2, "about")
    need(not repeated, "repeated")
    key, signature = a.public[sender], fields[-1]
    if name == "Advertise":
        need(fields[1] == a.model, "model")
        need(fields[2] == a.digest, "parameters")
        for public in fields[3:5]:
            agree(a.secrets[sender].mask, public)
        others = [a.secrets[i] for i in a.u1 if i != sender]
        used = {s.encryption_public for s in others} | {s.mask_public for s in others}
        need(len(set(fields[3:5]) - used) == 2, "duplicate key")
        verify(key, signature, "guildhall secagg advertise v1", *fields[:5])
    elif name == "Shares":
        holders = [share[0] for share in fields[3]]
        right = all(x < y for x, y in zip(holders, holders[1:])) and set(holders) <= set(a.u1) - {sender}
        wanted = a.n - 1 if a.k is None else min(a.k, a.n - 1)
        need(right and len(holders) == wanted and (fields[2] is None) == (a.k is not None), "holders")
        body = body_of(name, data).data[:-64]
        verify(key, signature, "guildhall secagg shares v1", a.t1, body)
    elif name == "Complaint":
        verify(key, signature, "guildhall secagg complaint v1", a.sid, u16(fields[1]))
    elif name == "Update":
        need(len(words) == a.p["d"] * a.bits // 8, "length")
        need(hashlib.sha256(words).digest() == fields[1], "hash")
        verify(key, signature, "guildhall secagg masked update v1", *update_parts(a, *fields[1:3]))
    elif name == "Certify":
        verify(key, signature, "guildhall secagg certify v1", a.sid, a.s)
    else:
        held = [i for i in a.u2 if sender in a.holders[i]]
        need([d for d, _ in fields[1]] == [i for i in held if i in a.u3], "dealers")
        need([d for d, _ in fields[2]] == [i for i in held if i not in a.u3], "dealers")
        lists = body_of(name, data).data[32:-64]
        verify(key, signature, "guildhall secagg unmask v1", a.sid, a.s, lists)
        for part, listed in ((slice(32, 64), fields[1]), (slice(0, 32), fields[2])):
            need(all(share == a.shares[d][sender][part] for d, share in listed), "wrong share")


def refusal(a, case):
    data = bytes.fromhex(case["frame"])
    try:
        if case["to"] is None:
            check_server(a, case["from"], case["message"], data, case["refusal"] == "repeated")
        else:
            check_client(a, case["to"], case["message"], data)
    except Refused as refused:
        return str(refused)
    return "none"


# The files

def check_primitives(file):
    for v in file["digests"]:
        assert digest(v["label"], *map(bytes.fromhex, v["parts"])).hex() == v["digest"]
    for v in file["signatures"]:
        secret, parts = bytes.fromhex(v["secret"]), list(map(bytes.fromhex, v["parts"]))
        assert identity_of(secret).hex() == v["public"] and sign(secret, v["label"], *parts).hex() == v["signature"]
        verify(identity_of(secret), bytes.fromhex(v["signature"]), v["label"], *parts)
    v = file["session_seed"]
    s = Secrets(bytes.fromhex(v["seed"]))
    for name, value in (("encryption_secret", s.encryption), ("encryption_public", s.encryption_public),
                        ("mask_secret", s.mask), ("mask_public", s.mask_public), ("self_mask_seed", s.b)):
        assert value.hex() == v[name], name
    assert [c.hex() for c in s.coefficients(4)] == v["coefficients_of_threshold_4"]
    bounds = (1, 2, 3, 10, 128, 999, 1000, 65535)
    assert [s.below(bound) for bound in bounds] == v["numbers_below_1_2_3_10_128_999_1000_65535"]
    check_keys({name: bytes.fromhex(value) for name, value in file["keys"].items()})
    for v in file["masks"]:
        words = mask(v["generator"], bytes.fromhex(v["key"]), v["words"], v["ring_bits"])
        data = from_words(words, v["ring_bits"])
        assert data[:40].hex() == v["first_40_bytes"] and hashlib.sha256(data).hexdigest() == v["sha256_of_all"]
        assert centred(words[:4], v["ring_bits"]) == v["first_4_words_as_signed_integers"]
    for v in file["shamir"]:
        secret, coefficients = bytes.fromhex(v["secret"]), list(map(bytes.fromhex, v["coefficients"]))
        shares = split(secret, coefficients, len(v["shares_from_point_1"]))
        assert [share.hex() for share in shares] == v["shares_from_point_1"]
        last = dict(list(enumerate(shares, 1))[-len(coefficients) - 1:])
        assert reconstruct(last) == secret
    for public in file["small_order_keys"]:
        try:
            agree(s.mask, bytes.fromhex(public))
        except Refused:
            continue
        raise AssertionError(f"a small-order key was taken: {public}")
    for n, colluders_min, numbers in file["thresholds"]["rows"]:
        assert thresholds(n, colluders_min) == numbers, f"thresholds of n = {n}, colluders_min = {colluders_min}"
    check_draw(file["draw_of_129"])
    return f"{len(file['shamir'])} sharings, {len(file['masks'])} masks, {len(file['thresholds']['rows'])} thresholds"


def check_keys(v):
    sid, t1, members, one = v["sid"], v["t1"], v["members_digest"], v["secret_1"]
    for secret, public in (("secret_1", "public_1"), ("secret_2", "public_2")):
        assert public_of(v[secret]) == v[public]
    assert agree(v["secret_1"], v["public_2"]) == agree(v["secret_2"], v["public_1"]) == v["agreed"]
    key = share_key(v["secret_2"], v["public_1"], sid, t1, 2, 1)
    assert key == v["share_key_of_dealer_2_for_holder_1"] == share_key(v["secret_1"], v["public_2"], sid, t1, 2, 1)
    data = SHARE_DATA + sid + t1 + u16(2) + u16(1)
    assert ChaCha20Poly1305(key).encrypt(bytes(12), v["shares"], data) == v["sealed"]
    pair, own = pair_mask(v["secret_1"], v["public_2"], sid, t1, members, 1, 2), self_mask(one, sid, 1)
    assert pair == v["pair_mask_of_1_and_2"] and own == v["self_mask_of_1_from_secret_1"]
    words = [(a - b) % 2**64 for a, b in zip(*(mask("AES-256-CTR", key, 3, 64) for key in (pair, own)))]
    assert from_words(words, 64) == v["pair_mask_minus_self_mask_3_words_aes_64"]
    commitment = digest("guildhall secagg seed commitment v1", sid, u16(1), one)
    assert commitment == v["seed_commitment_of_1_to_secret_1"]
    for kind in (b"mask key", b"seed"):
        name = f"hash_of_{kind.decode().replace(' ', '_')}_share_of_dealer_2_holder_1"
        assert share_hash(sid, 2, 1, kind, bytes([9] * 32)) == v[name]


def check_draw(v):
    facts, entries = [bytes.fromhex(v[name]) for name in ("sid", "model", "parameter_digest")], []
    secrets = [Secrets(bytes.fromhex(seed)) for seed in v["session_seeds"]]
    for i, s in enumerate(secrets):
        keys = (s.encryption_public, s.mask_public)
        signature = sign(bytes.fromhex(v["identity_secrets"][i]), "guildhall secagg advertise v1", *facts, *keys)
        entries.append(u16(i) + b"".join(keys) + signature)
    assert digest("guildhall secagg round roster v1", facts[0], sequence(entries)).hex() == v["t1"]
    for drawn in v["drawn"]:
        found = secrets[drawn["dealer"]].holders(range(129), drawn["dealer"], v["k"])
        assert found == drawn["holders"], f"holders of {drawn['dealer']}"


def main():
    files = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
    print("primitives:", check_primitives(files["primitives"]))
    attempts = {}
    for name in (name for name in files if name.startswith("attempt_")):
        attempts[name] = Attempt(files[name])
        print(f"{name}: {attempts[name].expected} messages and the sum, byte by byte")
    assert len(attempts) >= 4, "attempts are missing"
    wrong = 0
    for case in files["refused"]["cases"]:
        found = refusal(attempts[case["attempt"]], case)
        if found != case["refusal"]:
            print(f"refused: {case['name']}: expected {case['refusal']!r}, found {found!r}")
            wrong += 1
    for a in attempts.values():
        for said in a.file["messages"]:
            if said["from"] is None and said["to"] is None:
                said = {**said, "to": a.u3[0]}  # to everybody
            if said["message"] != "Result":
                found = refusal(a, {**said, "refusal": ""})
                assert found == "none", f"a good {said['message']} is refused: {found}"
    print(f"refused: {len(files['refused']['cases']) - wrong} of {len(files['refused']['cases'])} for the stated reason")
    return 1 if wrong else 0


if __name__ == "__main__":
    if not __debug__:
        sys.exit("run without -O: the checks are assertions")
    try:
        sys.exit(main())
    except (AssertionError, Refused, KeyError) as error:
        print(f"DIFFERENT: {type(error).__name__}: {error}", file=sys.stderr)
        raise SystemExit(1) from error
