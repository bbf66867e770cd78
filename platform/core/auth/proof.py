"""How a platform proves that it is the one whose machine key its owner holds, before anybody sends it that key.

Whoever has the port while the platform is down would be sent the key otherwise. The proof is an HMAC (RFC 2104) with
the machine key over a nonce of the asker's and the platform's port: with the port in it, another process can't pass
the question on to the platform where that listens elsewhere by now. The provider plugin computes the same.
"""

import hmac


def prove(machine_key: str, nonce: str, port: int) -> str:
    """Returns the proof, in hexadecimal."""
    return hmac.digest(machine_key.encode(), f"cloudserve {port} {nonce}".encode(), "sha256").hex()
