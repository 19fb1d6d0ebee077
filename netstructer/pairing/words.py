"""The words of pairing codes.  Floor: COMMONS.  Law: the list never changes within a version of the ceremony.

256 everyday words, one for each byte, in the order of the alphabet.  No two begin with the same three letters, and no
two differ by one letter only: what was misheard or mistyped is no other word of the list, so most slips are found
before they cost the one guess.  They were put together for this package and belong to nobody.
"""

from __future__ import annotations

__all__ = ["WORDS"]

_TEXT = """
abbey acorn admiral afternoon agenda alpine amber anchor apple april arctic aspen atlas autumn avenue badger baker
ballet banana barrel basket beacon bedroom bicycle biscuit blanket bonfire bottle breakfast bridge bucket buffalo
burrito cabin cactus camera candle carbon castle cedar cello chapel cherry circus clover cobalt coffee copper coral
cotton cousin crystal cupboard curtain cyclone daisy danger debut decade delta denim desert dialog dinner disco
dolphin domino dragon drummer duchess dynamo eagle easel eclipse edition elbow elephant emperor engine equator
erosion escape evening fabric factory falcon fantasy fender ferry fiddle filter finger flamingo fortune freckle
frozen funnel gadget galaxy garden gazelle gentle giraffe glacier goblin golden gorilla granite guitar gutter gypsum
habit hammer harvest hazel heaven helmet herring hickory hobby holiday hotel hummus hydrogen iceberg igloo impala
indigo insect island ivory jacket jaguar jelly jigsaw journey jungle jupiter kangaroo kennel kettle kidney kimono
kitchen kiwi koala ladder lagoon lantern lavender leather lemon lettuce library lizard lobster locker lunar magnet
mango marble meadow melon mercury midnight mirror monkey mosaic muffin museum mystery napkin nectar needle nickel
noodle nothing november number nutmeg oatmeal oboe october olive omelet onion opera orbit orchid oregano osprey oven
oxygen oyster paddle palace pancake paper parrot pebble pelican pepper picnic pigeon pillow planet pocket poem pony
potato prairie pyramid quarry quiver rabbit radio recipe ribbon river robin rubber salmon sandal satin saxophone
school seagull shadow silver sketch soccer spider summer teapot thunder ticket tomato trumpet tulip turtle umbrella
unicorn uranium valley velvet violin volcano voyage walnut whisper window yellow yogurt zebra zigzag zipper
"""

WORDS = tuple(_TEXT.split())
"""The word of byte n is `WORDS[n]`."""
