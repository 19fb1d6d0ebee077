"""Files and trees over a conversation: offers, resume, digests, progress.  Floor: COMMONS.

Spec: docs/files.md.  Law: a file that did not arrive whole is never where it should be, and nothing is ever written,
read or told of outside the directory that this end has named.

What happens, in order; each step is one module:

    gathering    local paths, patterns (globs)   -> entries (manifest), through directories that are held (places)
    sending      entries -> offer; answer -> body: the bytes of all files as one stream (source, body)
    planning     offer -> answer: what is there already, what is half there (partial)
    receiving    body -> partials -> files
    asking, serving    a request, and the end that answers it
"""

from netstructer.transfer.allowance import Allowance
from netstructer.transfer.asking import fetch, listing
from netstructer.transfer.channel import Channel
from netstructer.transfer.gathering import Source
from netstructer.transfer.manifest import Entry
from netstructer.transfer.outcome import Outcome, Transfer
from netstructer.transfer.progress import Progress, Report
from netstructer.transfer.receiving import Overwrite, receive
from netstructer.transfer.sending import offer
from netstructer.transfer.serving import serve
from netstructer.transfer.wording import Refused

__all__ = [
    "Allowance",
    "Channel",
    "Entry",
    "Outcome",
    "Overwrite",
    "Progress",
    "Refused",
    "Report",
    "Source",
    "Transfer",
    "fetch",
    "listing",
    "offer",
    "receive",
    "serve",
]
