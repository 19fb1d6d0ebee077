"""netstructer for asyncio: the same names, in the same order, awaited.  Floor: FAÇADES.

    from netstructer import aio

    async with aio.connect(("192.168.1.5", 5000)) as link:
        await link.send(["hi", 128, {b"gg": "gg"}, {1, 2, 6, 4}, (False, True)])
        answer = await link.recv(timeout=5)

Law: native to the loop: transports and protocols, no thread for a link, and nothing that a loop may lack.
"""

from netstructer.aio.announcing import Broadcast
from netstructer.aio.blob import Blob
from netstructer.aio.calling import Stream
from netstructer.aio.connecting import connect
from netstructer.aio.conversation import Conversation
from netstructer.aio.link import Link
from netstructer.aio.server import Server

__all__ = ["Blob", "Broadcast", "Conversation", "Link", "Server", "Stream", "connect"]
