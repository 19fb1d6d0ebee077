"""Pairing: from nothing to a key of one's own and a pinned server, by a code that is read out.  Floor: COMMONS.

Law: a code is tried once.  Spec: protocol.md, "Pairing".  Needs the extra `pair`.

    words codes     what is read out and typed
    frames          the layouts of the ceremony
    secret          SPAKE2, and what follows from it      ceremony        what is said in which order, as two machines
    desk            which code counts now, and who may try it
    keeping         where a client puts what it gets
    hosting         the server's end, with sockets        visiting        the client's end

    from netstructer.pairing.hosting import PairingServer
    from netstructer.pairing.visiting import pair

    with PairingServer(("0.0.0.0", 5001), users=UserKeys(path), identity=Identity.default(), port=5000) as server:
        paired = server.wait(print)

    paired = pair(("192.168.1.5", 5001), "47-guitar-orbit")
"""
