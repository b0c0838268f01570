#!/usr/bin/env python3
"""Writes tests/vectors/secagg/vectors.json: what docs/secure_aggregation.md says, computed apart from Covey.

Needs: pip install cryptography (48.0.0 was used, for AES, ChaCha20, X25519, HKDF, Argon2id); BLAKE2b and
SHA-256 are Python's own. Everything random comes from SHA-256 of a counter, so the file never changes.
"""
import hashlib
import json
import pathlib
import struct

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

P = 2**61 - 1
counter = 0


def fresh(size):
    global counter
    out = b""
    while len(out) < size:
        counter += 1
        out += hashlib.sha256(b"covey vectors" + struct.pack("<Q", counter)).digest()
    return out[:size]


def blob(data):
    return struct.pack("<I", len(data)) + data


def u32(v):
    return struct.pack("<I", v)


def u64(v):
    return struct.pack("<Q", v)


def blake(data):
    return hashlib.blake2b(data, digest_size=32).digest()


def sha(data):
    return hashlib.sha256(data).digest()


def hkdf(key, salt, info):
    return HKDF(hashes.SHA256(), 32, salt or None, info).derive(key)


def aes(key, size):
    return Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor().update(bytes(size))


def chacha(key, size):
    return Cipher(algorithms.ChaCha20(key, bytes(16)), None).encryptor().update(bytes(size))


def keystreams():
    out = []
    for name, stream in (("aes256ctr", aes), ("chacha20", chacha)):
        seed = fresh(32)
        whole = stream(seed, 70000)
        for offset in (0, 1, 16, 63, 64, 65536):
            out.append({"cipher": name, "seed": seed.hex(), "offset": offset, "bytes": whole[offset : offset + 40].hex()})
    return out


def derive(key, domain, context):
    """core/crypto/kdf.h's derive(): its tag, the domain with its length, and the context."""
    return hkdf(key, b"", b"covey derive v1" + blob(domain) + context)


def masks():
    out = []
    for width in (8, 16, 20, 32, 21):
        lanes = 64 // width
        values = [int.from_bytes(fresh(8), "little") % (1 << width) - (1 << (width - 1)) for _ in range(2 * lanes + 1)]
        words = [0] * ((len(values) + lanes - 1) // lanes)
        seeds = [{"seed": fresh(32).hex(), "minus": i % 2 == 1} for i in range(4)]
        name, place = "update", 2
        total = [[0] * lanes for _ in words]
        for i, v in enumerate(values):
            total[i // lanes][i % lanes] += v
        for s in seeds:
            key = derive(bytes.fromhex(s["seed"]), b"covey secagg vec v1",
                         blob(name.encode()) + u32(place) + u32(width) + u64(len(values)))
            stream = aes(key, 8 * len(words))
            for w in range(len(words)):
                word = int.from_bytes(stream[8 * w : 8 * w + 8], "little")
                for lane in range(lanes):
                    part = (word >> (lane * width)) & ((1 << width) - 1)
                    total[w][lane] += -part if s["minus"] else part
        for w, row in enumerate(total):
            words[w] = sum((v % (1 << width)) << (lane * width) for lane, v in enumerate(row))
        out.append({"width": width, "name": name, "place": place, "values": values, "seeds": seeds,
                    "masked": b"".join(u64(w) for w in words).hex()})
    return out


def limbs(secret):
    return [int.from_bytes(secret[7 * i : 7 * i + 7], "little") for i in range(5)]


def share(polynomials, x):
    return b"".join(u64(sum(c * pow(x, k, P) for k, c in enumerate(poly)) % P) for poly in polynomials)


def shamir():
    valid, invalid = [], []
    for t, n in ((1, 1), (2, 3), (5, 9), (65, 70)):
        secret = fresh(32)
        polynomials = [[limb] + [int.from_bytes(fresh(8), "little") % P for _ in range(t - 1)] for limb in limbs(secret)]
        xs = [3 * i + 1 for i in range(n)]
        shares = [{"x": x, "value": share(polynomials, x).hex()} for x in xs]
        valid.append({"secret": secret.hex(), "threshold": t, "shares": shares})
        if t == 5:
            wrong = json.loads(json.dumps(shares))
            for i in (0, 4):
                wrong[i]["value"] = share(polynomials, 1000 + i).hex()
            valid.append({"secret": secret.hex(), "threshold": t, "shares": wrong, "wrong": [xs[0], xs[4]]})
            invalid.append({"why": "t-1 shares", "threshold": t, "shares": shares[:4]})
            invalid.append({"why": "twice the same x", "threshold": t, "shares": shares[:4] + [shares[0]]})
            invalid.append({"why": "x = 0", "threshold": t, "shares": shares[:4] + [{"x": 0, "value": shares[4]["value"]}]})
            for limb in range(5):
                value = bytearray.fromhex(shares[4]["value"])
                value[8 * limb : 8 * limb + 8] = u64(P)
                invalid.append({"why": "a limb = p", "threshold": t, "shares": shares[:4] + [{"x": xs[4], "value": value.hex()}]})
            big = [[limb] + poly[1:] for limb, poly in zip([P - 1] * 5, polynomials)]
            invalid.append({"why": "opens to more than 32 bytes", "threshold": t,
                            "shares": [{"x": x, "value": share(big, x).hex()} for x in xs]})
            broken = json.loads(json.dumps(shares))
            for i in (0, 3, 6):
                broken[i]["value"] = fresh(40).hex()[:78] + "00"
            for s in broken:
                raw = bytearray.fromhex(s["value"])
                for limb in range(5):
                    raw[8 * limb + 7] &= 0x0F
                s["value"] = raw.hex()
            invalid.append({"why": "three of nine wrong", "threshold": t, "shares": broken})
    return {"valid": valid, "invalid": invalid}


def quarter(s, a, b, c, d):
    for x, y, z, r in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        s[x] = (s[x] + s[y]) & 0xFFFFFFFF
        v = s[z] ^ s[x]
        s[z] = ((v << r) | (v >> (32 - r))) & 0xFFFFFFFF


def hchacha(key, nonce16):
    s = [0x61707865, 0x3320646E, 0x79622D32, 0x6B206574, *struct.unpack("<8I", key), *struct.unpack("<4I", nonce16)]
    for _ in range(10):
        for q in ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
                  (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)):
            quarter(s, *q)
    return struct.pack("<8I", *s[:4], *s[12:])


def xchacha(key, nonce, associated, text):
    return ChaCha20Poly1305(hchacha(key, nonce[:16])).encrypt(bytes(4) + nonce[16:], text, associated)


def pairs():
    out = []
    for swapped in (False, True):
        a, b = X25519PrivateKey.from_private_bytes(fresh(32)), X25519PrivateKey.from_private_bytes(fresh(32))
        public = [k.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw) for k in (a, b)]
        subjects = [fresh(16), fresh(16)]
        low, high = sorted((0, 1), key=lambda i: subjects[i])
        sid, root = fresh(32), fresh(32)
        members = 11
        bits = bytes([0b10110101, 0b101])
        maskers = sha(blob(b"covey secagg set v1") + u32(members) + bits)
        info = (blob(b"covey secagg mask v1") + subjects[low] + subjects[high] + public[low] + public[high] + root + maskers)
        seed = hkdf(a.exchange(b.public_key()), sid, info)
        self_mask = fresh(32)
        commitment = blake(blob(b"covey secagg self mask v1") + sid + root + u32(7) + self_mask)
        sealing = [fresh(32), fresh(32)]
        point = fresh(32)
        enc = hkdf(point, sid, blob(b"covey secagg enc v1") + subjects[0] + subjects[1] + sealing[0] + sealing[1] + root)
        context = sid + root + u32(4) + u32(9)
        text = b"".join(u64(int.from_bytes(fresh(8), "little") % P) for _ in range(10))
        nonce = fresh(24)
        sealed = nonce + xchacha(enc, nonce, b"covey aead v1" + blob(b"covey secagg seal v1") + context, text)
        out.append({"secrets": [k.private_bytes_raw().hex() for k in (a, b)], "subjects": [s.hex() for s in subjects],
                    "sid": sid.hex(), "root": root.hex(), "members": members, "set": bits.hex(), "maskers": maskers.hex(),
                    "seed": seed.hex(), "self_mask": self_mask.hex(), "commitment": commitment.hex(),
                    "sealing_keys": [s.hex() for s in sealing], "point": point.hex(), "sealing_key": enc.hex(),
                    "sealed": sealed.hex(), "text": text.hex()})
    return out


def merkle(leaves):
    level = [blake(b"\0" + leaf) for leaf in leaves]
    while len(level) > 1:
        level = [blake(b"\1" + level[i] + level[i + 1]) if i + 1 < len(level) else level[i] for i in range(0, len(level), 2)]
    return level[0]


def trees():
    out = []
    for n in (1, 2, 3, 5, 8):
        leaves = [fresh(120) for _ in range(n)]
        out.append({"leaves": [leaf.hex() for leaf in leaves], "root": merkle(leaves).hex()})
    return out


def ring():
    sid, root, members = fresh(32), fresh(32), 150
    hard = Argon2id(salt=sid[:16], length=32, iterations=3, lanes=1, memory_cost=64 * 1024).derive(root)
    stream = aes(blake(blob(b"covey secagg ring v1") + sid + hard), 8 * 1000)
    words = iter(struct.unpack("<1000Q", stream))
    order = list(range(members))
    for i in range(members, 1, -1):
        limit = (2**64 - 1) - (2**64 - 1) % i
        value = next(w for w in words if w < limit)
        j = value % i
        order[i - 1], order[j] = order[j], order[i - 1]
    return {"sid": sid.hex(), "root": root.hex(), "order": order}


def messages():
    one = bytes([1])
    id = fresh(64)
    masked = one + bytes([8]) + id + u32(3) + fresh(32) + fresh(32) + fresh(64)
    order = one + bytes([7]) + id + u32(11) + bytes([0xFF, 0x05])
    delivery = one + bytes([5]) + id + u32(2) + u32(1) + fresh(120) + u32(4) + fresh(120)
    unmask = one + bytes([13]) + id + u32(3) + u32(2) + u32(0) + bytes([1]) + fresh(40) + u32(9) + bytes([2]) + fresh(40) + fresh(64)
    outcome = one + bytes([12, *id]) + bytes([2]) + u32(2) + u32(5) + fresh(64) + u32(6) + fresh(64)
    request = one + bytes([15]) + id + u32(11) + bytes([0x12, 0x04])
    seeds = one + bytes([16]) + id + u32(3) + u32(2) + u32(1) + fresh(32) + u32(10) + fresh(32) + fresh(64)
    valid = [masked, order, delivery, unmask, outcome, request, seeds]
    bad = [("empty", b""), ("version 2", b"\2" + masked[1:]), ("kind 0", b"\1\0" + masked[2:]), ("kind 17", b"\1\x11" + masked[2:]),
           ("cut short", masked[:-1]), ("a byte too many", masked + b"\0"),
           ("a bit beyond the members", order[:-1] + b"\x08"),
           ("65537 members", order[:66] + u32(65537) + bytes(8193)),
           ("dealers out of order", delivery[:70] + u32(5) + delivery[74:]),
           ("a dealer twice", delivery[:70] + u32(4) + delivery[74:]),
           ("a count that is not there", delivery[:66] + u32(0xFFFFFFFF) + delivery[70:]),
           ("a share of no kind", unmask[:78] + b"\3" + unmask[79:]),
           ("a dealer beyond all members", unmask[:74] + u32(65536) + unmask[78:]),
           ("seeds of a dealer twice", seeds[:110] + u32(1) + seeds[114:]),
           ("seeds of a dealer beyond all members", seeds[:110] + u32(65536) + seeds[114:]),
           ("a seed that is not there", seeds[:70] + u32(3) + seeds[74:]),
           ("a bit beyond the members that are asked for", request[:-1] + b"\x08"),
           ("no verdict", outcome[:66] + b"\3" + outcome[67:])]
    return {"valid": [m.hex() for m in valid], "invalid": [{"why": w, "bytes": b.hex()} for w, b in bad]}


vectors = {"keystreams": keystreams(), "masks": masks(), "shamir": shamir(), "pairs": pairs(), "trees": trees(),
           "ring": ring(), "messages": messages()}
path = pathlib.Path(__file__).parent / "secagg" / "vectors.json"
path.write_text(json.dumps(vectors, indent=0) + "\n")
