from collections.abc import Iterable, Sequence

from netstructer.codec.blob import Blob
from netstructer.codec.encoder import Encoded
from netstructer.codec.source import Chunk
from netstructer.codec.types import Types
from netstructer.limits import Limits

SOURCES: str

def encode_value(value: object, limits: Limits, types: Types) -> Encoded: ...
def decode_value(source: Chunk | Iterable[Chunk], limits: Limits, types: Types, blobs: Sequence[Blob]) -> object: ...
