#!/usr/bin/env python3
"""A second reader of ledger exports and proofs, which follows docs/ledger.md (sections in brackets) and shares no code.

Without arguments it checks tests/vectors: all trees of up to 300 entries with all their proofs, an export and a proof. With
paths it checks these exports and prints what it found. Needs Python 3.9 and the package `cryptography`. Exit code 0: all
agree; 1: something does not.
"""
import base64
import hashlib
import json
import math
import struct
import sys
from functools import lru_cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FOLDER = Path(__file__).resolve().parent / "vectors"
MAGIC = b"guildhall-ledger-export/1\n"
DASH = "\u2014 "
PICO = 10**12


def need(condition, what):
    if not condition:
        raise ValueError(what)


# Hashes, trees, proofs [2]

def sha(*parts): return hashlib.sha256(b"".join(parts)).digest()
def leaf(entry): return sha(b"\0", entry)


def labelled(label, *parts):
    return sha(*(struct.pack("<Q", len(part)) + part for part in (label.encode(), *parts)))


def check_signature(key, signature, message):
    Ed25519PublicKey.from_public_bytes(key).verify(signature, message)


def split(n):
    return 1 << (n - 1).bit_length() - 1


class Tree:
    """The recursive definitions of RFC 9162, 2.1, over leaf hashes."""

    def __init__(self, leaves):
        self.leaves = leaves
        self.root = lru_cache(None)(self._root)

    def _root(self, start, end):
        if end - start == 0:
            return sha()
        if end - start == 1:
            return self.leaves[start]
        middle = start + split(end - start)
        return sha(b"\1", self.root(start, middle), self.root(middle, end))

    def inclusion(self, index, start, end):
        if end - start == 1:
            return []
        middle = start + split(end - start)
        if index < middle:
            return self.inclusion(index, start, middle) + [self.root(middle, end)]
        return self.inclusion(index, middle, end) + [self.root(start, middle)]

    def consistency(self, old, start, end, whole=True):
        if old == end:
            return [] if whole else [self.root(start, end)]
        middle = start + split(end - start)
        if old <= middle:
            return self.consistency(old, start, middle, whole) + [self.root(middle, end)]
        return self.consistency(old, middle, end, False) + [self.root(start, middle)]


def root_from(index, size, hashed, proof):
    """The root that an inclusion proof leads to: the definition of the proof, backwards."""
    if size == 1:
        need(not proof, "a proof that is too long")
        return hashed
    need(proof, "a proof that is too short")
    middle = split(size)
    if index < middle:
        return sha(b"\1", root_from(index, middle, hashed, proof[:-1]), proof[-1])
    return sha(b"\1", proof[-1], root_from(index - middle, size - middle, hashed, proof[:-1]))


# Decoding [1]

class Reader:
    def __init__(self, data): self.data, self.at = data, 0

    def take(self, n):
        need(self.at + n <= len(self.data), "bytes are missing")
        self.at += n
        return self.data[self.at - n:self.at]

    def number(self, form): return struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))[0]
    def u16(self): return self.number("H")
    def u32(self): return self.number("I")
    def u64(self): return self.number("Q")
    def u128(self): return int.from_bytes(self.take(16), "little")
    def f64(self): return self.number("d")
    def hash(self): return self.take(32)
    def text(self): return self.take(self.u64()).decode()
    def char(self):
        length = next(n for n, limit in ((1, 0x80), (2, 0xE0), (3, 0xF0), (4, 0xF8)) if self.data[self.at] < limit)
        return self.take(length).decode()

    def option(self, read):
        tag = self.take(1)[0]
        need(tag in (0, 1), "an option")
        return read() if tag else None

    def many(self, read): return [read() for _ in range(self.u64())]
    def head(self): return (self.u64(), self.hash())
    def update(self): return (self.u16(), self.hash(), self.head())
    def end(self): need(self.at == len(self.data), "bytes left over")


def read_entry(data):
    r = Reader(data)
    version, sequence, previous = r.u16(), r.u64(), r.hash()
    need(version == 4, "another version")
    kind = r.u32()
    need(kind < 12, "another kind")
    e = {"sequence": sequence, "previous": previous, "kind": kind}
    if kind == 0:
        e.update(epsilon=r.f64(), delta=r.f64(), time=r.u64())
    elif kind == 1:
        e.update(job=r.text(), job_digest=r.hash(), sid=r.hash(), round=(r.u32(), r.u32()), unit=r.u32())
        gaussian = r.u32() == 0
        e["noise"] = {"bound": r.u64(), "sigma": r.u64(), "h": r.u64(), "delta": r.f64()} if gaussian else None
        e["colluders"] = r.u32() if r.u32() == 1 else None
        e.update(survivors_min=r.u32(), parameters=r.hash(), model=r.hash(), charge=r.u128(), purpose=r.text(),
                 label=r.text(), program=r.option(r.hash), time=r.u64())
    elif kind == 2:
        e.update(sid=r.hash(), update=r.option(r.hash), data=r.option(lambda: (r.hash(), r.hash())))
    elif kind == 3:
        e.update(sid=r.hash())
    elif kind == 4:
        e.update(sid=r.hash(), released=r.u32() == 0)
        if e["released"]:
            e.update(version=r.u32(), model=r.hash(), survivors=r.u32(), certificate=r.option(r.hash))
    elif kind == 5:
        e.update(federation=r.hash(), key=r.hash(), roster=r.hash(), n=r.u32(), own=r.option(r.u16), program=r.text(),
                 time=r.u64())
    elif kind == 6:
        e.update(sid=r.hash(), updates=r.many(r.update), time=r.u64())
    elif kind == 7:
        e.update(job=r.text(), job_digest=r.hash(), sid=r.hash(), round=(r.u32(), r.u32()), version=r.u32(),
                 model_in=r.hash(), model_out=r.hash(), survivors=r.u32(), time=r.u64())
    elif kind == 8:
        e.update(tier=r.char(), verdict=r.u32(), report=r.hash(), summary=r.text(), time=r.u64())
    elif kind == 9:
        e.update(seen=r.head(), time=r.u64())
    elif kind == 10:
        e.update(recipient=r.text(), head=r.head(), file=r.hash(), time=r.u64())
        need(len(e["recipient"].encode()) <= 300, "the recipient")
    else:
        e.update(old=r.hash(), new=r.hash(), before=r.head(), by_old=r.take(64), by_new=r.take(64), time=r.u64())
    r.end()
    return e


def read_frames(data):
    """[6]"""
    need(data.startswith(MAGIC), "another file")
    at, frames = len(MAGIC), []
    while True:
        kind, length = data[at:at + 1], struct.unpack("<I", data[at + 1:at + 5])[0]
        body = data[at + 5:at + 5 + length]
        need(len(body) == length, "a frame is cut")
        if kind == b"Z":
            need(at + 5 + length == len(data) and sha(data[:at]) == body, "the end")
            break
        frames.append((kind, body))
        at += 5 + length
    order = "".join(kind.decode() for kind, _ in frames)
    need(order[:1] == "R" and order == "".join(sorted(order, key="RECN".index)) and order.count("R") == 1, "the order")
    return {wanted: [body for kind, body in frames if kind.decode() == wanted] for wanted in "RECN"}


def read_roster(data):
    r = Reader(data)
    key, start = r.hash(), r.at
    federation = r.hash()
    entries = r.many(lambda: {"name": r.text(), "region": r.text(), "identity": r.hash(), "certificate": r.hash()})
    digest = labelled("guildhall roster v1", data[start:r.at])
    check_signature(key, r.take(64), labelled("guildhall signed roster v1", digest))
    r.end()
    return {"key": key, "federation": federation, "entries": entries, "digest": digest}


# Notes [3]

def read_note(text, names):
    """Size, root and witnesses, by the keys of `names`: the owner's name first, with its key; then witnesses."""
    body, signatures = text.split("\n\n")
    origin, size, root = body.split("\n")
    need(size == str(int(size)), "the size")
    (owner, key), *witnesses = names
    need(origin == owner and signatures.endswith("\n"), "whose")
    seen = {}
    for place, line in enumerate(signatures[:-1].split("\n")):
        need(line.startswith(DASH), "the dash")
        name, encoded = line[len(DASH):].split(" ")
        blob = base64.b64decode(encoded, validate=True)
        need(base64.b64encode(blob).decode() == encoded, "base64")
        if place == 0:
            need(name == owner and len(blob) == 68 and blob[:4] == sha(f"{name}\n".encode(), b"\1", key)[:4], "the owner")
            check_signature(key, blob[4:], f"{body}\n".encode())
            continue
        witness = dict(witnesses)[name]
        need(len(blob) == 76 and blob[:4] == sha(f"{name}\n".encode(), b"\4", witness)[:4] and name not in seen, "a witness")
        time = int.from_bytes(blob[4:12], "big")
        check_signature(witness, blob[12:], f"cosignature/v1\ntime {time}\n{body}\n".encode())
        seen[name] = time
    return int(size), base64.b64decode(root, validate=True), seen


# Numbers [4, 5]

def epsilon(rho, delta):
    """The least epsilon over alpha = 1 + x, where rho*x*x + ln(1 + x) = ln(1/delta)."""
    if rho == 0:
        return 0.0
    log, low, high = -math.log(delta), 0.0, math.sqrt(-math.log(delta) / rho)
    for _ in range(200):
        x = (low + high) / 2
        low, high = (x, high) if rho * x * x + math.log1p(x) < log else (low, x)
    return rho * (1 + high) + (log - math.log1p(high)) / high - math.log1p(1 / high)


def numbers(n, colluders):
    """t, m_min and h of the complete graph; above 128 merchants h is 96 per cent, rounded down."""
    t = (n + colluders) // 2 + 1
    m_min = n if n == 3 else max(t, n - max(1, n // 5))
    need(colluders >= max(1, (n - 1) // 3) and t <= m_min <= n and n >= 3, "no masked rounds")
    h = m_min - colluders
    return t, m_min, h if n <= 128 else h * 96 // 100


def check_certificate(data, roster, session, threshold, own, tree):
    r = Reader(data)
    sid, t1, members = r.hash(), r.hash(), r.hash()
    updates = r.many(r.update)
    signatures = r.many(lambda: (r.u16(), r.take(64)))
    r.end()
    statement = b"".join(struct.pack("<H", m) + y + struct.pack("<Q", size) + root for m, y, (size, root) in updates)
    signed = labelled("guildhall secagg survivors v1", sid, t1, members, statement)
    for listed in (updates, signatures):
        need(all(a[0] < b[0] for a, b in zip(listed, listed[1:])), "order")
    need(sid == session["sid"] and len(signatures) >= threshold, "too few signatures, or of another session")
    need(len(updates) == session["survivors"] >= session["survivors_min"], "survivors")
    for merchant, signature in signatures:
        need(merchant in [update[0] for update in updates], "a stranger")
        message = labelled("guildhall secagg certify v1", sid, signed)
        check_signature(roster["entries"][merchant]["identity"], signature, message)
    (update, (size, root)), = [(y, head) for merchant, y, head in updates if merchant == own]
    need(update == session["update"] and session["committed"] < size <= session["settled"], "not what was committed")
    need(tree.root(0, size) == root, "another ledger")
    return {merchant for merchant, _ in signatures} - {own}


def check_rotation(e, place, tree, whose, keys, roster):
    """[5.10] `keys` are those of the owner so far, each with the first size that its checkpoints are over."""
    size, root = e["before"]
    need(size == place and tree.root(0, place) == root, f"entry {place}: another place")
    need(e["old"] == keys[-1][1] and e["new"] not in [key for _, key in keys], f"entry {place}: the chain of keys")
    need(e["new"] not in [m["identity"] for m in roster["entries"]] + [roster["key"]], f"entry {place}: somebody's key")
    statement = labelled("guildhall key rotation v1", roster["federation"], struct.pack("<H", whose["own"]),
                         struct.pack("<Q", size), root, e["old"], e["new"])
    check_signature(e["old"], e["by_old"], statement)
    check_signature(e["new"], e["by_new"], statement)
    keys.append((place + 1, e["new"]))


def read_export(data):
    frames = read_frames(data)
    roster = read_roster(frames["R"][0])
    tree, keys = Tree([leaf(entry) for entry in frames["E"]]), []
    sessions, spent, limit, whose, previous, alarm = {}, 0, None, None, bytes(32), False
    for place, data in enumerate(frames["E"]):
        e = read_entry(data)
        need(e["sequence"] == place and e["previous"] == previous, f"entry {place}: the chain")
        previous = leaf(data)
        if e["kind"] == 0:
            need(e["epsilon"] > 0 and 0 < e["delta"] < 1, "a budget")
            limit = e
        elif e["kind"] == 1:
            noise, n = e["noise"], whose["n"]
            charge = 0
            if noise:
                charge = -(-PICO * noise["bound"]**2 // (2 * noise["h"] * noise["sigma"]**2))
                need(2**10 <= noise["sigma"] < 2**53, "the noise")
            plain = e["colluders"] is None
            m_min, h = (0, 1) if plain else numbers(n, e["colluders"])[1:]
            need(e["survivors_min"] == m_min and (not noise or noise["h"] == h), f"entry {place}: the numbers")
            need(charge == e["charge"] and e["sid"] not in sessions and not alarm, f"entry {place}: the charge")
            spent += charge
            need(epsilon(spent / PICO, limit["delta"]) <= limit["epsilon"] * (1 + 1e-12), f"entry {place}: overspent")
            sessions[e["sid"]] = dict(e, status="reserved")
        elif e["kind"] in (2, 3, 4):
            session = sessions[e["sid"]]
            need(session["status"] == ("committed" if e["kind"] == 4 else "reserved"), f"entry {place}: the order")
            session["status"] = {2: "committed", 3: "refunded", 4: "settled"}[e["kind"]]
            session.update({k: e[k] for k in ("update", "data", "survivors", "certificate") if k in e})
            session["settled" if e["kind"] == 4 else "committed"] = place
            spent -= session["charge"] if e["kind"] == 3 else 0
        elif e["kind"] == 5:
            need((e["federation"], e["key"], e["roster"], e["n"]) == (roster["federation"], roster["key"], roster["digest"],
                 len(roster["entries"])), "the roster")
            whose = e
            keys = keys or [(0, roster["entries"][e["own"]]["identity"])]
        elif e["kind"] == 10:
            size, root = e["head"]
            need(size <= place and tree.root(0, size) == root, f"entry {place}: a head that never was")
        elif e["kind"] == 11:
            check_rotation(e, place, tree, whose, keys, roster)
        alarm |= e["kind"] == 9
    return report(frames, roster, tree, sessions, spent, limit, whose, keys)


def report(frames, roster, tree, sessions, spent, limit, whose, keys):
    server = f"guildhall/{roster['federation'].hex()}"
    own = roster["entries"][whose["own"]]
    origin = f"{server}/{own['name']}"
    time = None
    for place, note in enumerate(frames["N"]):
        over = int(note.decode().split("\n")[1])
        key = [key for first, key in keys if first <= over][-1]
        size, root, seen = read_note(note.decode(), [(origin, key), (server, roster["key"])])
        need(tree.root(0, size) == root and (place > 0 or size == len(frames["E"])), "a checkpoint")
        time = seen.get(server, time)
    certified = [s for s in sessions.values() if s["colluders"] is not None and s.get("certificate")]
    need(len(certified) == len(frames["C"]) and frames["N"], "certificates or checkpoints are missing")
    saw = set()
    for data, session in zip(frames["C"], certified):
        need(labelled("guildhall survivor certificate v1", data) == session["certificate"], "another certificate")
        threshold = numbers(whose["n"], session["colluders"])[0]
        saw |= check_certificate(data, roster, session, threshold, whose["own"], tree)
    return {
        "entries": len(frames["E"]), "root": tree.root(0, len(frames["E"])).hex(), "origin": origin,
        "owner_key": keys[-1][1].hex(), "first_owner_key": keys[0][1].hex(), "rotations": len(keys) - 1,
        "tags": [s["data"] for s in sessions.values() if s.get("data")],
        "federation_key": roster["key"].hex(), "pico_rho_spent": str(spent),
        "epsilon_spent": epsilon(spent / PICO, limit["delta"]), "budget_epsilon": limit["epsilon"],
        "budget_delta": limit["delta"], "certificates": len(frames["C"]), "merchants_that_saw_it": len(saw),
        "server_saw_it_unix_s": time}


def check_proof(text, owner, server):
    """[7]"""
    before, note = text.split("\n\n", 1)
    first, extra, index, *hashes = before.split("\n")
    need(first == "c2sp.org/tlog-proof@v1" and extra.startswith("extra ") and index.startswith("index "), "the lines")
    entry, index = base64.b64decode(extra[6:], validate=True), int(index[6:])
    size, root, seen = read_note(note, [owner, server])
    need(root_from(index, size, leaf(entry), [base64.b64decode(hash) for hash in hashes]) == root, "the path")
    need(read_entry(entry)["sequence"] == index, "another entry")
    return index, size, seen


# The files

def check_trees(file):
    tree = Tree([leaf(f"entry {i}".encode()) for i in range(300)])
    packed = lambda proofs: sha(*(bytes([len(proof)]) + b"".join(proof) for proof in proofs)).hex()
    for row in file["sizes"]:
        size = row["size"]
        assert tree.root(0, size).hex() == row["root"], f"root of {size}"
        proofs = [tree.inclusion(index, 0, size) for index in range(size)]
        assert packed(proofs) == row["inclusion"], f"inclusion proofs of {size}"
        assert all(root_from(i, size, tree.leaves[i], proof) == tree.root(0, size) for i, proof in enumerate(proofs))
        assert packed(tree.consistency(old, 0, size) for old in range(1, size + 1)) == row["consistency"], f"consistency of {size}"
    for row in file["inclusion"]:
        assert [h.hex() for h in tree.inclusion(row["index"], 0, row["size"])] == row["hashes"], row
    for row in file["consistency"]:
        assert [h.hex() for h in tree.consistency(row["old"], 0, row["new"])] == row["hashes"], row
    return len(file["sizes"])


def main():
    if sys.argv[1:]:
        for path in sys.argv[1:]:
            found = read_export(Path(path).read_bytes())
            found["tags"] = len(found["tags"])
            print(json.dumps(found))
        return
    print("trees:", check_trees(json.loads((FOLDER / "merkle.json").read_text())), "sizes with all their proofs")
    data = bytes.fromhex((FOLDER / "ledger_64.export.hex").read_text())
    expected, found = json.loads((FOLDER / "ledger_64.json").read_text()), read_export(data)
    assert abs(found.pop("epsilon_spent") - expected.pop("epsilon_spent")) < 1e-9, "epsilon"
    secret, file = (bytes.fromhex(expected.pop(name)) for name in ("data_secret", "data_file"))
    digest, count = labelled("guildhall data files v1", secret, file), expected.pop("trainings_of_the_data")
    tags = found.pop("tags")
    assert count == sum(labelled("guildhall dataset tag v1", salt, digest) == tag for salt, tag in tags), "tags of the data"
    assert found == expected, f"expected {expected}, found {found}"
    print("export:", found["entries"], "entries,", found["certificates"], "certificates, rho", found["pico_rho_spent"])
    names = ((expected["origin"], bytes.fromhex(expected["first_owner_key"])),
             (expected["origin"].rsplit("/", 1)[0], bytes.fromhex(expected["federation_key"])))
    print("proof: entry %d of %d, cosigned %s" % check_proof((FOLDER / "ledger_64.entry_5.proof").read_text(), *names))
    refused = 0
    for bit in range(0, len(data) * 8 - 256, 101):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        changed[-32:] = sha(bytes(changed[:-37]))
        try:
            read_export(bytes(changed))
        except Exception:  # whatever it is that does not hold
            refused += 1
            continue
        raise AssertionError(f"bit {bit} is not noticed")
    print("tampering:", refused, "flipped bits noticed")


if __name__ == "__main__":
    if not __debug__:
        sys.exit("run without -O: the checks are assertions")
    try:
        main()
    except Exception as error:
        print(f"DIFFERENT: {type(error).__name__}: {error}", file=sys.stderr)
        raise SystemExit(1) from error
